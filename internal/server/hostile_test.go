package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
)

const (
	evil, evilKey     = "evil.example.org", "0123456789abcdef0123456789abcdef"
	victim, victimKey = "victim.example.org", "fedcba9876543210fedcba9876543210"
)

// twoHosts runs a server with an enrolled host that turned hostile and one that
// it is after.
func twoHosts(t *testing.T) (r *running, admin, host *rpc.Client) {
	t.Helper()
	r = start(t, server.Config{Data: t.TempDir()})
	admin = r.client(t, "admin", password)
	call(t, admin, "host_createObjects", []any{
		fleet.Row{"type": fleet.OpsiClient, "id": evil, "opsiHostKey": evilKey, "description": "mine"},
		fleet.Row{"type": fleet.OpsiClient, "id": victim, "opsiHostKey": victimKey, "notes": "secret plan", "oneTimePassword": "once"},
	})
	call(t, admin, "config_createUnicode", "opsiclientd.x.y")
	call(t, admin, "configState_create", "opsiclientd.x.y", victim, []any{"theirs"})
	call(t, admin, "auditSoftware_create", "editor")
	return r, admin, r.client(t, evil, evilKey)
}

func refused(t *testing.T, c *rpc.Client, code fleet.Code, method string, args ...any) {
	t.Helper()
	v, err := c.Call(t.Context(), methods.Actor{}, method, methods.Pos(args...))
	switch {
	case err == nil:
		t.Errorf("%s%v was answered: %v", method, args, v)
	case fleet.CodeOf(err) != code:
		t.Errorf("%s%v: %v (%s), want %s", method, args, err, fleet.CodeOf(err), code)
	case strings.Contains(err.Error(), victim) && !strings.Contains(sprint(args...), victim):
		t.Errorf("%s%v names another host: %v", method, args, err)
	}
}

func sprint(v ...any) string { return strings.TrimSuffix(fmt.Sprintln(v...), "\n") }

// A filter on what the caller may not read must not tell what it holds: 512
// questions would give the server's own key, and with it every secret.
func TestHostile_FilterIsNoOracle(t *testing.T) {
	r, admin, host := twoHosts(t)
	call(t, admin, "host_updateObject", fleet.Row{"id": r.ID(), "opsiHostKey": victimKey, "notes": "secret plan"})
	for _, f := range []map[string]any{
		{"opsiHostKey": "f*"}, {"opsiHostKey": victimKey}, {"opsiHostKey": []any{"f*", "e*"}},
		{"notes": "secret*"}, {"id": victim}, {"id": "vic*"}, {"type": fleet.OpsiClient, "oneTimePassword": "o*"},
	} {
		for _, method := range []string{"host_getObjects", "host_getHashes"} {
			if got := call(t, host, method, []any{}, f); len(got.([]any)) > 0 {
				t.Errorf("%s(%v) found %v", method, f, got)
			}
		}
		if got := call(t, host, "host_getIdents", "str", f); len(got.([]any)) > 0 {
			t.Errorf("host_getIdents(%v) found %v", f, got)
		}
	}
	if got := call(t, host, "host_getObjects", []any{}, map[string]any{"opsiHostKey": evilKey}); len(got.([]any)) != 1 {
		t.Errorf("its own key finds %v", got)
	}
	if got := call(t, admin, "host_getObjects", []any{}, map[string]any{"opsiHostKey": "f*"}); len(got.([]any)) != 2 {
		t.Errorf("the administrator finds %d", len(got.([]any)))
	}
	// What is hidden reads as no value, for a filter as for the reader.
	if got := call(t, host, "host_getObjects", []any{}, map[string]any{"opsiHostKey": nil}); len(got.([]any)) != 1 {
		t.Errorf("no key: %v", got)
	}
}

// Whatever a host may do, it does to itself; and it does not take itself, or
// what belongs to all, away.
func TestHostile_WritesOnlyItself(t *testing.T) {
	_, admin, host := twoHosts(t)
	own := fleet.Row{"type": fleet.OpsiClient, "id": evil}
	for _, tt := range []struct {
		method string
		args   []any
	}{
		{"host_deleteObjects", []any{[]any{own}}},
		{"host_delete", []any{evil}},
		{"host_delete", []any{"*"}},
		{"host_delete", []any{[]any{evil, victim}}},
		{"host_createObjects", []any{[]any{own}}},
		{"host_insertObject", []any{own}},
		{"host_createOpsiClient", []any{evil}},
		{"host_createOpsiClient", []any{"new.example.org"}},
		{"host_createOpsiDepotserver", []any{evil}},
		{"host_updateObject", []any{fleet.Row{"type": fleet.OpsiDepotserver, "id": evil}}},
		{"host_updateObjects", []any{[]any{fleet.Row{"type": []any{fleet.OpsiConfigserver}, "id": evil}}}},
		{"host_updateObjects", []any{[]any{fleet.Row{"id": []any{evil}, "notes": "x"}}}},
		{"host_updateObject", []any{fleet.Row{"id": evil, "opsiHostKey": victimKey}}},
		{"host_updateObject", []any{fleet.Row{"id": evil, "oneTimePassword": "mine"}}},
		{"host_updateObject", []any{fleet.Row{"id": victim, "notes": "x"}}},
		{"configState_create", []any{"opsiclientd.x.y", victim, []any{"x"}}},
		{"configState_delete", []any{"*", "*"}},
		{"configState_delete", []any{"opsiclientd.x.y"}},
		{"configState_delete", []any{"*", []any{evil, victim}}},
		{"configState_deleteObjects", []any{fleet.Row{"configId": "opsiclientd.x.y", "objectId": victim}}},
		{"config_delete", []any{"*"}},
		{"config_createUnicode", []any{"opsiclientd.code"}},
		{"productOnClient_create", []any{"p", "LocalbootProduct", victim}},
		{"setProductActionRequestWithDependencies", []any{"p", victim, "setup"}},
		{"auditSoftware_delete", []any{"*"}},
		{"auditSoftware_deleteObjects", []any{fleet.Row{"name": "editor"}}},
		{"auditHardware_delete", []any{"*"}},
		{"auditSoftwareOnClient_delete", []any{"*"}},
		{"user_getObjects", nil},
		{"licenseContract_getObjects", nil},
		{"log_write", []any{"instlog", "x", victim}},
		{"log_read", []any{"instlog", victim}},
		{"replica_pull", []any{victim, map[string]any{}}},
		{"replica_push", []any{victim, map[string]any{}}},
	} {
		refused(t, host, fleet.Denied, tt.method, tt.args...)
	}
	refused(t, host, fleet.Invalid, "log_write", "../../etc", "x")
	refused(t, host, fleet.Invalid, "log_write", "instlog/../..", "x")
	// What it may do.
	call(t, host, "host_updateObject", fleet.Row{"id": evil, "notes": "hello"})
	call(t, host, "configState_create", "opsiclientd.x.y", evil, []any{"x"})
	call(t, host, "configState_delete", "*", evil)
	call(t, host, "auditSoftware_createObjects", []any{fleet.Row{"name": "browser"}})
	call(t, host, "auditSoftwareOnClient_delete", "*", nil, nil, nil, nil, evil)

	rows := call(t, admin, "host_getObjects", []any{"description", "notes", "oneTimePassword"}, map[string]any{"type": fleet.OpsiClient}).([]any)
	for _, v := range rows {
		row := v.(map[string]any)
		want := map[string]string{evil: "mine hello <nil>", victim: " secret plan once"}[row["id"].(string)]
		if got := sprint(row["description"], row["notes"], row["oneTimePassword"]); got != want {
			t.Errorf("%v is now %q, want %q", row["id"], got, want)
		}
	}
	if got := call(t, admin, "configState_getObjects", []any{}, map[string]any{"objectId": victim}).([]any); len(got) != 1 {
		t.Errorf("the victim's parameters: %v", got)
	}
	if got := call(t, admin, "auditSoftware_getObjects").([]any); len(got) != 2 {
		t.Errorf("software: %v", got)
	}
}

// A push stands for the methods that it replaces: what they refuse it does not do.
func TestHostile_PushWritesOnlyItself(t *testing.T) {
	_, admin, host := twoHosts(t)
	push := func(class string, base, mine any) map[string]any {
		return map[string]any{"class": class, "base": base, "mine": mine}
	}
	v := call(t, host, "replica_push", evil, map[string]any{"id": "1", "changes": []any{
		push("host", fleet.Row{"type": fleet.OpsiClient, "id": evil}, fleet.Row{"type": fleet.OpsiConfigserver, "id": evil, "opsiHostKey": victimKey}),
		push("host", fleet.Row{"type": fleet.OpsiClient, "id": evil}, nil),
		push("host", nil, fleet.Row{"type": fleet.OpsiDepotserver, "id": "new.example.org", "opsiHostKey": victimKey}),
		push("host", fleet.Row{"type": fleet.OpsiClient, "id": victim}, nil),
		push("configState", nil, fleet.Row{"configId": "opsiclientd.x.y", "objectId": victim, "values": []any{"x"}}),
		push("configState", fleet.Row{"configId": "opsiclientd.x.y", "objectId": victim, "values": []any{"theirs"}}, nil),
		push("auditSoftware", fleet.Row{"name": "editor", "version": "", "subVersion": "", "language": "", "architecture": ""}, nil),
		push("config", nil, fleet.Row{"type": fleet.UnicodeConfig, "id": "a.b"}),
		push("user", nil, fleet.Row{"id": "root"}),
		push("licenseContract", fleet.Row{"id": "l"}, fleet.Row{"id": "l"}),
	}}).(map[string]any)
	for _, m := range v["results"].([]any) {
		if m := m.(map[string]any); m["op"] != "keep" {
			t.Errorf("pushed: %v", m)
		}
		if row, _ := m.(map[string]any)["row"].(map[string]any); row != nil && row["id"] == victim {
			t.Errorf("told of the victim: %v", row)
		}
	}
	if v, err := host.Call(t.Context(), methods.Actor{}, "replica_push", methods.Pos(evil, map[string]any{"changes": []any{push("account", nil, fleet.Row{"name": "x"})}})); err == nil {
		t.Errorf("took an account: %v", v)
	}
	rows := call(t, admin, "host_getObjects", []any{"opsiHostKey"}, map[string]any{"id": []any{evil, victim, "new.example.org"}}).([]any)
	if len(rows) != 2 || rows[0].(map[string]any)["opsiHostKey"] != evilKey || rows[0].(map[string]any)["type"] != fleet.OpsiClient {
		t.Errorf("hosts: %v", rows)
	}
}
