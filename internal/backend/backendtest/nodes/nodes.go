package nodes

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// nodeCases are what a server answers about nodes; an agent has none of it.
var nodeCases = bench.Cases{
	"presence_up": nodeCase(func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "presence_up", "nobody.example.org", "openvpn", "1-1", int64(1), "10.134.7.38")
		b.Refused(fleet.Invalid, "presence_up", bench.Client(1), "../x", "1-1", int64(1), "10.134.7.38")
		b.Refused(fleet.Invalid, "presence_up", bench.Client(1), "openvpn", "1-1", "yesterday", "10.134.7.38")
		b.Refused(fleet.Invalid, "presence_up", bench.Client(1), "openvpn", "1-1", int64(1), "10.134.7.380")
		b.Refused(fleet.Invalid, "presence_up", bench.Client(1), "openvpn", "1-1", int64(1), "10.135.7.38", nil, "vnode")
		b.Call("presence_up", bench.Client(1), "openvpn", "1-1", int64(1_790_000_000), "10.134.7.38", "192.0.2.7", "vnode")
		fact := b.Call("presence_getObjects").([]any)[0].(map[string]any)
		b.Same("session", []any{bench.Client(1), "vnode-7-38.grid.example.org", true, "10.134.7.38", "192.0.2.7"},
			[]any{fact["hostId"], fact["name"], fact["up"], fact["address"], fact["clientAddress"]})
	}),
	"presence_down": nodeCase(func(b *bench.Bench) {
		b.Call("presence_down", bench.Client(1), "openvpn", "never-there")
		b.Refused(fleet.Invalid, "presence_down", bench.Client(1), "openvpn", "a b")
	}),
	"presence_getObjects": nodeCase(func(b *bench.Bench) {
		b.Call("presence_up", bench.Client(2), "openvpn", "2-1", int64(1_790_000_000), nil, nil, "vnode")
		b.Same("sessions of another", 0, len(b.Call("presence_getObjects", []any{bench.Client(1)}).([]any)))
		b.Same("its own", 1, len(b.Call("presence_getObjects", []any{bench.Client(2)}).([]any)))
	}),
	"tunnel_getObjects": nodeCase(func(b *bench.Bench) {
		b.Call("presence_up", bench.Client(2), "openvpn", "2-1", int64(1_790_000_000), nil, nil, "vnode")
		b.Same("of another", 0, len(b.Call("tunnel_getObjects", []any{bench.Client(1)}).([]any)))
		got := b.Call("tunnel_getObjects").([]any)[0].(map[string]any)
		b.Same("a tunnel of somebody else's", []any{bench.Client(2), "openvpn", true, false, int64(0)}, []any{got["hostId"], got["tunnel"], got["up"], got["here"], got["received"]})
	}),
	"tunnel_disconnect": nodeCase(func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "tunnel_disconnect", "nobody.example.org", "openvpn")
		b.Refused(fleet.Invalid, "tunnel_disconnect", bench.Client(1), "../x")
		b.Refused(fleet.Conflict, "tunnel_disconnect", bench.Client(1), "mesh")
		b.Call("tunnel_disconnect", bench.Client(1), "openvpn")
		b.Call("tunnel_disconnect", bench.Client(1), "openvpn")
	}),
	"mesh_getAuthority": nodeCase(func(b *bench.Bench) {
		got, err := b.Try("mesh_getAuthority", methods.Params{})
		if fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.Same("nothing is begun", "settled", got.(map[string]any)["stage"])
	}),
	"mesh_rotateAuthority": nodeCase(func(b *bench.Bench) {
		if _, err := b.Try("mesh_rotateAuthority", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.Same("it is begun", "learning", b.Call("mesh_getAuthority").(map[string]any)["stage"])
		b.Refused(fleet.Conflict, "mesh_rotateAuthority")
		b.Same("it is done", "settled", b.Call("mesh_rotateAuthority", true).(map[string]any)["stage"])
		b.Refused(fleet.Conflict, "mesh_rotateAuthority", true)
	}),
	"mesh_getPaths": nodeCase(func(b *bench.Bench) {
		if _, err := b.Try("mesh_getPaths", methods.Params{}); err != nil && fleet.CodeOf(err) != fleet.NotHere {
			b.Fatal(err)
		}
	}),
	"resource_getList": resourceCase("resource_getList"),
	"resource_getDiff": resourceCase("resource_getDiff"),
	"dns_getRecords": nodeCase(func(b *bench.Bench) {
		if _, err := b.Try("dns_getRecords", methods.Params{}); err != nil && fleet.CodeOf(err) != fleet.NotHere {
			b.Fatal(err)
		}
	}),
}

// resourceCase: a node whose scheduler nobody drives is listed, with that reason.
func resourceCase(method string) func(*bench.Bench) {
	return nodeCase(func(b *bench.Bench) {
		b.Call("presence_up", bench.Client(1), "openvpn", "r-1", int64(1_790_000_000), nil, nil, "vnode")
		r := b.Call(method, []any{bench.Client(1)}).([]any)[0].(map[string]any)
		b.Same("the node", []any{bench.Client(1), false, true, "this server does not drive oar"}, []any{r["hostId"], r["known"], r["up"], r["why"]})
		b.Same("of another", 0, len(b.Call(method, []any{bench.Client(2)}).([]any)))
	})
}

func nodeCase(run func(*bench.Bench)) func(*bench.Bench) {
	return func(b *bench.Bench) {
		if _, err := b.Try("presence_getObjects", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.Call("nodeType_insertObject", bench.Sample(fleet.NodeTypes)[0])
		b.Call("host_createOpsiClient", bench.Client(1))
		b.Call("host_createOpsiClient", bench.Client(2))
		run(b)
	}
}
