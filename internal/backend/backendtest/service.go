package backendtest

import (
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// serviceCases show the methods about the service itself.
var serviceCases = map[string]func(*bench){
	"backend_getInterface": func(b *bench) {
		b.same("getObjects", []any{[]any{"*attributes", "**filter"}, []any{"self", "attributes"}, "filter", []any{nil}, false, nil},
			b.described("host_getObjects"))
		b.same("defaults", []any{[]any{"*depotIds", "*clientIds", "*masterOnly", "*productIds"}, []any{"self", "depotIds", "clientIds", "masterOnly", "productIds"},
			nil, []any{nil, nil, true, nil}, false, nil}, b.described("configState_getClientToDepotserver"))
		b.same("deprecated", []any{[]any{"*attributes", "**filter"}, []any{"self", "attributes"}, "filter", []any{nil}, true, "host_getObjects"},
			b.described("host_getHashes"))
	},
	"backend_info": func(b *bench) {
		if v := b.call("backend_info").(map[string]any); v["version"] == "" {
			b.Errorf("no version: %v", v)
		}
	},
	"backend_exit":                     func(b *bench) { b.same("backend_exit", nil, b.call("backend_exit")) },
	"accessControl_authenticated":      func(b *bench) { b.same("", true, b.call("accessControl_authenticated")) },
	"accessControl_userIsAdmin":        func(b *bench) { b.same("", true, b.call("accessControl_userIsAdmin")) },
	"accessControl_userIsReadOnlyUser": func(b *bench) { b.same("", false, b.call("accessControl_userIsReadOnlyUser")) },
	"userIsReadOnlyUser":               func(b *bench) { b.same("", false, b.call("userIsReadOnlyUser")) },
	"accessControl_getUserGroups":      func(b *bench) { b.same("", []any{"opsiadmin"}, b.call("accessControl_getUserGroups")) },
	"getServiceTime": func(b *bench) {
		text := b.call("getServiceTime", true).(string)
		if at, err := time.Parse("2006-01-02 15:04:05.000000", text); err != nil || time.Since(at).Abs() > time.Hour {
			b.Errorf("%s, %v", text, err)
		}
	},
	"getDomain": func(b *bench) {
		b.refused(fleet.NotFound, "getDomain")
		b.servers()
		b.same("domain", "example.org", b.call("getDomain"))
	},
	"getOpsiCACert": func(b *bench) {
		v, err := b.try("getOpsiCACert", methods.Params{})
		if pem, _ := v.(string); fleet.CodeOf(err) != fleet.NotHere && !strings.HasPrefix(pem, "-----BEGIN CERTIFICATE-----") {
			b.Errorf("%v, %v", v, err)
		}
	},
	"backend_getSystemConfiguration": func(b *bench) {
		v, err := b.try("backend_getSystemConfiguration", methods.Params{})
		if fleet.CodeOf(err) == fleet.NotHere {
			return // an agent's cache keeps no logs of others
		}
		if err != nil {
			b.Fatal(err)
		}
		b.servers()
		for _, typ := range plain(v).(map[string]any)["log"].(map[string]any)["types"].([]any) {
			b.call("log_write", typ, "one\n", "pc1.example.org")
		}
	},
	"journal_getEntries": func(b *bench) {
		b.servers()
		b.call("host_updateObject", fleet.Row{"type": "OpsiClient", "id": "pc1.example.org", "notes": "seen", "oneTimePassword": "another"})
		last := b.rows("journal_getEntries", methods.Pos("pc1.example.org", int64(1)))
		if len(last) != 1 {
			b.Fatalf("%d entries, want the last", len(last))
		}
		e := last[0].(map[string]any)
		b.same("entry", []any{"host", "pc1.example.org", "update"}, []any{e["class"], e["object"], e["operation"]})
		b.same("after", map[string]any{"notes": "seen", "oneTimePassword": "***"}, e["after"])
	},
	"log_write": logCase,
	"log_read":  logCase,
}

// described is what backend_getInterface says of a method, without its text.
func (b *bench) described(name string) any {
	b.Helper()
	for _, m := range b.rows("backend_getInterface", methods.Params{}) {
		if m := m.(map[string]any); m["name"] == name {
			return []any{m["params"], m["args"], m["keywords"], m["defaults"], m["deprecated"], m["alternative_method"]}
		}
	}
	b.Fatalf("%s is not listed", name)
	return nil
}

func logCase(b *bench) {
	b.servers()
	if _, err := b.try("log_write", methods.Pos("instlog", "one\n", "pc1.example.org")); fleet.CodeOf(err) == fleet.NotHere {
		b.refused(fleet.NotHere, "log_read", "instlog", "pc1.example.org")
		return // an agent's cache keeps no logs of others
	}
	b.call("log_write", "instlog", "two\n", "pc1.example.org", true)
	b.same("appended", "one\ntwo\n", b.call("log_read", "instlog", "pc1.example.org"))
	b.same("its end", "two\n", b.call("log_read", "instlog", "pc1.example.org", 5))
	b.call("log_write", "instlog", "three\n", "pc1.example.org", false)
	b.same("replaced", "three\n", b.call("log_read", "instlog", "pc1.example.org"))
	b.refused(fleet.Invalid, "log_write", "../passwd", "x", "pc1.example.org")
	b.refused(fleet.Invalid, "log_write", "instlog", "x", "../../etc")
}
