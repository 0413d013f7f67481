package hosts

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// asleep is a client that nobody can reach: it has no address.
const asleep = "pc8.example.org"

// hostControlCases are what every backend answers alike, whoever it reaches: for
// which hosts, and what is wrong with the call. That a host is reached shows
// where there are hosts.
var hostControlCases = casesOfHostControl()

func casesOfHostControl() bench.Cases {
	cases := bench.Cases{}
	for method, args := range map[string][]any{
		"start": {[]any{asleep}}, "shutdown": {[]any{asleep}}, "reboot": {[]any{asleep}}, "uptime": {[]any{asleep}},
		"getActiveSessions": {[]any{asleep}}, "processActionRequests": {[]any{asleep}}, "reachable": {[]any{asleep}},
		"fireEvent": {"on_demand", []any{asleep}}, "showPopup": {"hello", []any{asleep}}, "execute": {"true", []any{asleep}},
		"opsiclientdRpc": {"uptime", []any{}, []any{asleep}},
	} {
		cases["hostControl_"+method] = func(b *bench.Bench) { hostControlCase(b, "hostControl_"+method, args) }
		if method != "processActionRequests" {
			cases["hostControlSafe_"+method] = func(b *bench.Bench) { hostControlCase(b, "hostControlSafe_"+method, args) }
		}
	}
	return cases
}

func hostControlCase(b *bench.Bench, method string, args []any) {
	v, err := b.Try(method, methods.Pos(args...))
	if fleet.CodeOf(err) == fleet.NotHere {
		return // an agent's cache reaches nobody
	}
	if fleet.CodeOf(err) != fleet.NotFound {
		b.Fatalf("%s of a host that is not there = %v, error %v", method, v, err)
	}
	b.Call("host_createOpsiClient", asleep)
	b.Call("host_createOpsiClient", "other.example.org")
	one := hostOf(b, method, b.Call(method, args...))
	switch {
	case strings.HasSuffix(method, "reachable"):
		b.Same("reachable", false, one)
	case strings.HasSuffix(method, "start"):
		b.Same("without a hardware address", true, strings.Contains(errorOf(one), "hardware address"))
		b.Call("host_updateObject", fleet.Row{"type": fleet.OpsiClient, "id": asleep, "hardwareAddress": "02:00:00:00:00:08", "ipAddress": "127.0.0.8"})
		b.Same("with one", "", errorOf(hostOf(b, method, b.Call(method, args...))))
	default:
		b.Same("without an address", true, strings.Contains(errorOf(one), "not connected"))
	}
	pattern := append([]any{}, args...)
	for i, a := range pattern {
		if list, ok := a.([]any); ok && len(list) == 1 {
			pattern[i] = []any{"PC8*"}
		}
	}
	hostOf(b, method, b.Call(method, pattern...))
	if strings.HasPrefix(method, "hostControlSafe_") {
		for i, a := range pattern {
			if list, ok := a.([]any); ok && len(list) == 1 {
				pattern[i] = []any{}
			}
		}
		b.Refused(fleet.NotFound, method, pattern...)
	}
	if method == "hostControl_processActionRequests" {
		one := hostOf(b, method, b.Call(method, []any{asleep}, []any{"firefox"}))
		b.Same("without a request", true, strings.Contains(errorOf(one), "no action is requested"))
		b.Call("productOnClient_create", "firefox", "LocalbootProduct", asleep)
		b.Call("productOnClient_updateObjects", fleet.Row{"productId": "firefox", "productType": "LocalbootProduct", "clientId": asleep, "actionRequest": "setup"})
		one = hostOf(b, method, b.Call(method, []any{asleep}, []any{"firefox"}))
		b.Same("with one", true, strings.Contains(errorOf(one), "not connected"))
	}
}

// hostOf is the one entry of an answer, which must be that of the host.
func hostOf(b *bench.Bench, method string, v any) any {
	b.Helper()
	all, ok := v.(map[string]any)
	if one, there := all[asleep]; ok && there && len(all) == 1 {
		return one
	}
	b.Fatalf("%s answered %v", method, v)
	return nil
}

func errorOf(one any) string {
	m, _ := one.(map[string]any)
	text, _ := m["error"].(string)
	return text
}
