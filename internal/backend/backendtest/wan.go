package backendtest

import "github.com/fernwerk/fernwerk/internal/fleet"

const (
	guiStartup    = "opsiclientd.event_gui_startup.active"
	userLoggedIn  = "opsiclientd.event_gui_startup{user_logged_in}.active"
	netConnection = "opsiclientd.event_net_connection.active"
	timer         = "opsiclientd.event_timer.active"
)

var wanCases = map[string]func(*bench){
	"changeWANConfig": func(b *bench) {
		b.clients(3)
		b.call("changeWANConfig", true, []any{client(1), client(2)})
		b.same("two are in WAN mode", []any{inWAN, inWAN, usual}, []any{b.switches(1), b.switches(2), b.switches(3)})
		b.call("changeWANConfig", false, client(1))
		b.same("one is back", []any{usual, inWAN, usual}, []any{b.switches(1), b.switches(2), b.switches(3)})
		b.refused(fleet.Invalid, "changeWANConfig", true, []any{})
		b.refused(fleet.Invalid, "changeWANConfig", true, "*")
		b.refused(fleet.Invalid, "changeWANConfig", "perhaps", client(1))
		b.refused(fleet.Invalid, "changeWANConfig", true, []any{client(3), "server.example.org"})
		b.refused(fleet.NotFound, "changeWANConfig", true, []any{client(3), "pc9.example.org"})
		b.same("a refused call changes nobody", usual, b.switches(3))
	},
	"host_getWANMode": func(b *bench) {
		b.clients(3)
		b.same("nobody has a switch", map[string]any{client(1): "off", client(2): "off", client(3): "off"}, b.wanModes())
		b.call("changeWANConfig", true, client(1))
		b.call("configState_create", timer, client(2), true)
		b.same("one is in, one half", map[string]any{client(1): "on", client(2): "partly", client(3): "off"}, b.wanModes())
		b.same("which switches", map[string]any{guiStartup: true, userLoggedIn: true, netConnection: false, timer: true},
			b.call("host_getWANMode", client(2)).(map[string]any)[client(2)].(map[string]any)["switches"])
	},
}

var wanRules = map[string]func(*bench){
	// The eight commands of seed A, with its order of arguments, as
	// "opsi-admin -d method" sends them.
	"wan/the commands of the manual": func(b *bench) {
		b.clients(1)
		b.call("host_createOpsiClient", "vpnclient.domain.de")
		b.call("config_createBool", guiStartup, "gui_startup active", true)
		b.call("config_createBool", userLoggedIn, "gui_startup{user_logged_in} active", true)
		b.call("config_createBool", netConnection, "event_net_connection active", false)
		b.call("config_createBool", timer, "event_timer active", false)
		b.call("configState_create", guiStartup, "vpnclient.domain.de", false)
		b.call("configState_create", userLoggedIn, "vpnclient.domain.de", false)
		b.call("configState_create", netConnection, "vpnclient.domain.de", true)
		b.call("configState_create", timer, "vpnclient.domain.de", true)
		b.same("the client", inWAN, b.switchesOf("vpnclient.domain.de"))
		b.same("another", usual, b.switches(1))
	},
	// The manual warns that values without defaults set all clients into WAN
	// mode. They do not.
	"wan/values before defaults are the client's own": func(b *bench) {
		b.clients(2)
		for id, v := range inWAN {
			b.call("configState_create", id, client(1), v)
		}
		if others := b.switches(2); len(others) != 0 {
			b.Errorf("another client got %v", others)
		}
		b.call("changeWANConfig", false, client(2))
		b.same("with defaults", []any{inWAN, usual}, []any{b.switches(1), b.switches(2)})
	},
}

var (
	inWAN = map[string]any{guiStartup: []any{false}, userLoggedIn: []any{false}, netConnection: []any{true}, timer: []any{true}}
	usual = map[string]any{guiStartup: []any{true}, userLoggedIn: []any{true}, netConnection: []any{false}, timer: []any{false}}
)

func (b *bench) wanModes() map[string]any {
	b.Helper()
	out := map[string]any{}
	for client, v := range b.call("host_getWANMode").(map[string]any) {
		out[client] = v.(map[string]any)["mode"]
	}
	return out
}

func (b *bench) switches(n int) map[string]any { b.Helper(); return b.switchesOf(client(n)) }

func (b *bench) switchesOf(id string) map[string]any {
	b.Helper()
	ids := []any{guiStartup, userLoggedIn, netConnection, timer}
	return b.call("configState_getValues", ids, []any{id}).(map[string]any)[id].(map[string]any)
}
