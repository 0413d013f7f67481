package backendtest

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// nodeCases are what a server answers about nodes; an agent has none of it.
var nodeCases = map[string]func(*bench){
	"presence_up": nodeCase(func(b *bench) {
		b.refused(fleet.NotFound, "presence_up", "nobody.example.org", "openvpn", "1-1", int64(1), "10.134.7.38")
		b.refused(fleet.Invalid, "presence_up", client(1), "../x", "1-1", int64(1), "10.134.7.38")
		b.refused(fleet.Invalid, "presence_up", client(1), "openvpn", "1-1", "yesterday", "10.134.7.38")
		b.refused(fleet.Invalid, "presence_up", client(1), "openvpn", "1-1", int64(1), "10.134.7.380")
		b.refused(fleet.Invalid, "presence_up", client(1), "openvpn", "1-1", int64(1), "10.135.7.38", nil, "vnode")
		b.call("presence_up", client(1), "openvpn", "1-1", int64(1_790_000_000), "10.134.7.38", "192.0.2.7", "vnode")
		fact := b.call("presence_getObjects").([]any)[0].(map[string]any)
		b.same("session", []any{client(1), "vnode-7-38.grid.example.org", true, "10.134.7.38", "192.0.2.7"},
			[]any{fact["hostId"], fact["name"], fact["up"], fact["address"], fact["clientAddress"]})
	}),
	"presence_down": nodeCase(func(b *bench) {
		b.call("presence_down", client(1), "openvpn", "never-there")
		b.refused(fleet.Invalid, "presence_down", client(1), "openvpn", "a b")
	}),
	"presence_getObjects": nodeCase(func(b *bench) {
		b.call("presence_up", client(2), "openvpn", "2-1", int64(1_790_000_000), nil, nil, "vnode")
		b.same("sessions of another", 0, len(b.call("presence_getObjects", []any{client(1)}).([]any)))
		b.same("its own", 1, len(b.call("presence_getObjects", []any{client(2)}).([]any)))
	}),
	"tunnel_getObjects": nodeCase(func(b *bench) {
		b.call("presence_up", client(2), "openvpn", "2-1", int64(1_790_000_000), nil, nil, "vnode")
		b.same("of another", 0, len(b.call("tunnel_getObjects", []any{client(1)}).([]any)))
		got := b.call("tunnel_getObjects").([]any)[0].(map[string]any)
		b.same("a tunnel of somebody else's", []any{client(2), "openvpn", true, false, int64(0)}, []any{got["hostId"], got["tunnel"], got["up"], got["here"], got["received"]})
	}),
	"tunnel_disconnect": nodeCase(func(b *bench) {
		b.refused(fleet.NotFound, "tunnel_disconnect", "nobody.example.org", "openvpn")
		b.refused(fleet.Invalid, "tunnel_disconnect", client(1), "../x")
		b.refused(fleet.Conflict, "tunnel_disconnect", client(1), "mesh")
		b.call("tunnel_disconnect", client(1), "openvpn")
		b.call("tunnel_disconnect", client(1), "openvpn")
	}),
	"mesh_getAuthority": nodeCase(func(b *bench) {
		got, err := b.try("mesh_getAuthority", methods.Params{})
		if fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.same("nothing is begun", "settled", got.(map[string]any)["stage"])
	}),
	"mesh_rotateAuthority": nodeCase(func(b *bench) {
		if _, err := b.try("mesh_rotateAuthority", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.same("it is begun", "learning", b.call("mesh_getAuthority").(map[string]any)["stage"])
		b.refused(fleet.Conflict, "mesh_rotateAuthority")
		b.same("it is done", "settled", b.call("mesh_rotateAuthority", true).(map[string]any)["stage"])
		b.refused(fleet.Conflict, "mesh_rotateAuthority", true)
	}),
	"mesh_getPaths": nodeCase(func(b *bench) {
		if _, err := b.try("mesh_getPaths", methods.Params{}); err != nil && fleet.CodeOf(err) != fleet.NotHere {
			b.Fatal(err)
		}
	}),
	"resource_getList": resourceCase("resource_getList"),
	"resource_getDiff": resourceCase("resource_getDiff"),
	"dns_getRecords": nodeCase(func(b *bench) {
		if _, err := b.try("dns_getRecords", methods.Params{}); err != nil && fleet.CodeOf(err) != fleet.NotHere {
			b.Fatal(err)
		}
	}),
}

// resourceCase: a node whose scheduler nobody drives is listed, with that reason.
func resourceCase(method string) func(*bench) {
	return nodeCase(func(b *bench) {
		b.call("presence_up", client(1), "openvpn", "r-1", int64(1_790_000_000), nil, nil, "vnode")
		r := b.call(method, []any{client(1)}).([]any)[0].(map[string]any)
		b.same("the node", []any{client(1), false, true, "this server does not drive oar"}, []any{r["hostId"], r["known"], r["up"], r["why"]})
		b.same("of another", 0, len(b.call(method, []any{client(2)}).([]any)))
	})
}

func nodeCase(run func(*bench)) func(*bench) {
	return func(b *bench) {
		if _, err := b.try("presence_getObjects", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.call("nodeType_insertObject", Sample(fleet.NodeTypes)[0])
		b.call("host_createOpsiClient", client(1))
		b.call("host_createOpsiClient", client(2))
		run(b)
	}
}
