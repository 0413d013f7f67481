package hosts

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	guiStartup    = "opsiclientd.event_gui_startup.active"
	userLoggedIn  = "opsiclientd.event_gui_startup{user_logged_in}.active"
	netConnection = "opsiclientd.event_net_connection.active"
	timer         = "opsiclientd.event_timer.active"
)

var wanCases = bench.Cases{
	"changeWANConfig": func(b *bench.Bench) {
		b.Clients(3)
		b.Call("changeWANConfig", true, []any{bench.Client(1), bench.Client(2)})
		b.Same("two are in WAN mode", []any{inWAN, inWAN, usual}, []any{switches(b, 1), switches(b, 2), switches(b, 3)})
		b.Call("changeWANConfig", false, bench.Client(1))
		b.Same("one is back", []any{usual, inWAN, usual}, []any{switches(b, 1), switches(b, 2), switches(b, 3)})
		b.Refused(fleet.Invalid, "changeWANConfig", true, []any{})
		b.Refused(fleet.Invalid, "changeWANConfig", true, "*")
		b.Refused(fleet.Invalid, "changeWANConfig", "perhaps", bench.Client(1))
		b.Refused(fleet.Invalid, "changeWANConfig", true, []any{bench.Client(3), "server.example.org"})
		b.Refused(fleet.NotFound, "changeWANConfig", true, []any{bench.Client(3), "pc9.example.org"})
		b.Same("a refused call changes nobody", usual, switches(b, 3))
	},
	"host_getWANMode": func(b *bench.Bench) {
		b.Clients(3)
		b.Same("nobody has a switch", map[string]any{bench.Client(1): "off", bench.Client(2): "off", bench.Client(3): "off"}, wanModes(b))
		b.Call("changeWANConfig", true, bench.Client(1))
		b.Call("configState_create", timer, bench.Client(2), true)
		b.Same("one is in, one half", map[string]any{bench.Client(1): "on", bench.Client(2): "partly", bench.Client(3): "off"}, wanModes(b))
		b.Same("which switches", map[string]any{guiStartup: true, userLoggedIn: true, netConnection: false, timer: true},
			b.Call("host_getWANMode", bench.Client(2)).(map[string]any)[bench.Client(2)].(map[string]any)["switches"])
	},
}

var wanRules = bench.Cases{
	// The eight commands of seed A, with its order of arguments, as
	// "opsi-admin -d method" sends them.
	"wan/the commands of the manual": func(b *bench.Bench) {
		b.Clients(1)
		b.Call("host_createOpsiClient", "vpnclient.domain.de")
		b.Call("config_createBool", guiStartup, "gui_startup active", true)
		b.Call("config_createBool", userLoggedIn, "gui_startup{user_logged_in} active", true)
		b.Call("config_createBool", netConnection, "event_net_connection active", false)
		b.Call("config_createBool", timer, "event_timer active", false)
		b.Call("configState_create", guiStartup, "vpnclient.domain.de", false)
		b.Call("configState_create", userLoggedIn, "vpnclient.domain.de", false)
		b.Call("configState_create", netConnection, "vpnclient.domain.de", true)
		b.Call("configState_create", timer, "vpnclient.domain.de", true)
		b.Same("the client", inWAN, switchesOf(b, "vpnclient.domain.de"))
		b.Same("another", usual, switches(b, 1))
	},
	// The manual warns that values without defaults set all clients into WAN
	// mode. They do not.
	"wan/values before defaults are the client's own": func(b *bench.Bench) {
		b.Clients(2)
		for id, v := range inWAN {
			b.Call("configState_create", id, bench.Client(1), v)
		}
		if others := switches(b, 2); len(others) != 0 {
			b.Errorf("another client got %v", others)
		}
		b.Call("changeWANConfig", false, bench.Client(2))
		b.Same("with defaults", []any{inWAN, usual}, []any{switches(b, 1), switches(b, 2)})
	},
}

var (
	inWAN = map[string]any{guiStartup: []any{false}, userLoggedIn: []any{false}, netConnection: []any{true}, timer: []any{true}}
	usual = map[string]any{guiStartup: []any{true}, userLoggedIn: []any{true}, netConnection: []any{false}, timer: []any{false}}
)

func wanModes(b *bench.Bench) map[string]any {
	b.Helper()
	out := map[string]any{}
	for client, v := range b.Call("host_getWANMode").(map[string]any) {
		out[client] = v.(map[string]any)["mode"]
	}
	return out
}

func switches(b *bench.Bench, n int) map[string]any {
	b.Helper()
	return switchesOf(b, bench.Client(n))
}

func switchesOf(b *bench.Bench, id string) map[string]any {
	b.Helper()
	ids := []any{guiStartup, userLoggedIn, netConnection, timer}
	return b.Call("configState_getValues", ids, []any{id}).(map[string]any)[id].(map[string]any)
}
