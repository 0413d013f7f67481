package backendtest

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// auditCases are about inventories.
var auditCases = bench.Cases{
	"auditHardware_getConfig": func(b *bench.Bench) {
		classes := hardware(b, "")
		// What others put must be described: type and scope of every attribute.
		for _, c := range []*fleet.Class{fleet.AuditHardwares, fleet.AuditHardwareOnHosts} {
			b.PutAll(c)
			for _, r := range b.Find(c, nil) {
				r := r.(map[string]any)
				values := classes[r["hardwareClass"].(string)]
				for name := range r {
					if col := c.Column(name); col == nil && name != "type" && name != "ident" && values[name] == nil {
						b.Errorf("%s of %s is not described", name, r["hardwareClass"])
					}
				}
			}
		}
		for _, name := range []string{"COMPUTER_SYSTEM", "BIOS", "BASE_BOARD", "PROCESSOR", "HARDDISK_DRIVE", "NETWORK_CONTROLLER", "VIDEO_CONTROLLER"} {
			if classes[name] == nil {
				b.Errorf("%s is not described", name)
			}
		}
		serial := classes["CHASSIS"]["serialNumber"]
		b.Same("a serial number", []any{"varchar(50)", "i", "Serial number"}, []any{serial["Type"], serial["Scope"], serial["UI"]})
		b.Same("a vendor's scope", "g", classes["CHASSIS"]["vendor"]["Scope"])
		b.Same("in German", "Seriennummer", hardware(b, "de_DE")["CHASSIS"]["serialNumber"]["UI"])
	},
	"auditHardwareOnHost_setObsolete": func(b *bench.Bench) {
		obsolete(b, fleet.AuditHardwareOnHosts, "hostId", fleet.Row{"hostId": "pc2.example.org", "hardwareClass": "CHASSIS", "vendor": "Acme"})
	},
	"auditSoftwareOnClient_setObsolete": func(b *bench.Bench) {
		obsolete(b, fleet.AuditSoftwareOnClients, "clientId", fleet.Row{"clientId": "pc2.example.org", "name": "Office", "version": "16", "subVersion": "", "language": "", "architecture": "x64"})
	},
}

// auditRules belong to no single method.
var auditRules = bench.Cases{
	// Seed A has the auditHardwareConfig transferred to the client. Both sides
	// have it from the program itself: a pull brings no row of it, and what a
	// backend answers depends on none.
	"audit/the hardware classes need no transfer": func(b *bench.Bench) {
		empty := b.Call("auditHardware_getConfig")
		b.ClientWithAction()
		b.PutAll(fleet.AuditHardwares)
		answer := b.Call("replica_pull", "pc1.example.org", map[string]any{}).(map[string]any)
		for class := range answer["rows"].(map[string]any) {
			if strings.HasPrefix(class, "audit") {
				b.Errorf("a pull brings %s", class)
			}
		}
		b.Same("with and without data", empty, b.Call("auditHardware_getConfig"))
	},
}

// obsolete shows that setObsolete marks what the first client had, leaves the
// other's alone, and that what is found again counts again.
func obsolete(b *bench.Bench, c *fleet.Class, of string, other fleet.Row) {
	b.Helper()
	b.PutAll(c)
	b.Call(c.Name+"_insertObject", other)
	states := func(id string) (present int) {
		for _, r := range b.Find(c, map[string]any{of: id, "state": 1}) {
			if r.(map[string]any)["lastseen"] == nil {
				b.Error("it is not said when it was seen")
			}
			present++
		}
		return present
	}
	if states("pc1.example.org") == 0 {
		b.Fatal("nothing is there")
	}
	b.Call(c.Name+"_setObsolete", "PC1.example.org")
	b.Same("after", int64(0), int64(states("pc1.example.org")))
	b.Same("the other's", int64(1), int64(states("pc2.example.org")))
	found := bench.Sample(c)[0]
	found["state"] = int64(1)
	b.Call(c.Name+"_updateObjects", []fleet.Row{found})
	b.Same("found again", int64(1), int64(states("pc1.example.org")))
	b.Call(c.Name+"_setObsolete", []any{"pc1.example.org", "pc2.example.org"})
	b.Same("both", int64(0), int64(states("pc1.example.org")+states("pc2.example.org")))
	b.Refused(fleet.Invalid, c.Name+"_setObsolete", []any{})
	b.Refused(fleet.Invalid, c.Name+"_setObsolete", "*")
}

// hardware reads the hardware classes: class, attribute, description.
func hardware(b *bench.Bench, language string) map[string]map[string]map[string]any {
	b.Helper()
	out := map[string]map[string]map[string]any{}
	for _, h := range b.Rows("auditHardware_getConfig", methods.Pos(language)) {
		h := h.(map[string]any)
		values := map[string]map[string]any{}
		for _, v := range h["Values"].([]any) {
			v := v.(map[string]any)
			values[v["Opsi"].(string)] = v
		}
		out[h["Class"].(map[string]any)["Opsi"].(string)] = values
	}
	return out
}
