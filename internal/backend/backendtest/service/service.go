package service

import (
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// serviceCases show the methods about the service itself.
var serviceCases = bench.Cases{
	"backend_getInterface": func(b *bench.Bench) {
		b.Same("getObjects", []any{[]any{"*attributes", "**filter"}, []any{"self", "attributes"}, "filter", []any{nil}, false, nil},
			described(b, "host_getObjects"))
		b.Same("defaults", []any{[]any{"*depotIds", "*clientIds", "*masterOnly", "*productIds"}, []any{"self", "depotIds", "clientIds", "masterOnly", "productIds"},
			nil, []any{nil, nil, true, nil}, false, nil}, described(b, "configState_getClientToDepotserver"))
		b.Same("deprecated", []any{[]any{"*attributes", "**filter"}, []any{"self", "attributes"}, "filter", []any{nil}, true, "host_getObjects"},
			described(b, "host_getHashes"))
	},
	"backend_info": func(b *bench.Bench) {
		if v := b.Call("backend_info").(map[string]any); v["version"] == "" {
			b.Errorf("no version: %v", v)
		}
	},
	"backend_exit":                     func(b *bench.Bench) { b.Same("backend_exit", nil, b.Call("backend_exit")) },
	"accessControl_authenticated":      func(b *bench.Bench) { b.Same("", true, b.Call("accessControl_authenticated")) },
	"accessControl_userIsAdmin":        func(b *bench.Bench) { b.Same("", true, b.Call("accessControl_userIsAdmin")) },
	"accessControl_userIsReadOnlyUser": func(b *bench.Bench) { b.Same("", false, b.Call("accessControl_userIsReadOnlyUser")) },
	"userIsReadOnlyUser":               func(b *bench.Bench) { b.Same("", false, b.Call("userIsReadOnlyUser")) },
	"accessControl_getUserGroups":      func(b *bench.Bench) { b.Same("", []any{"opsiadmin"}, b.Call("accessControl_getUserGroups")) },
	"getServiceTime": func(b *bench.Bench) {
		text := b.Call("getServiceTime", true).(string)
		if at, err := time.Parse("2006-01-02 15:04:05.000000", text); err != nil || time.Since(at).Abs() > time.Hour {
			b.Errorf("%s, %v", text, err)
		}
	},
	"getDomain": func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "getDomain")
		b.Servers()
		b.Same("domain", "example.org", b.Call("getDomain"))
	},
	"getOpsiCACert": func(b *bench.Bench) {
		v, err := b.Try("getOpsiCACert", methods.Params{})
		if pem, _ := v.(string); fleet.CodeOf(err) != fleet.NotHere && !strings.HasPrefix(pem, "-----BEGIN CERTIFICATE-----") {
			b.Errorf("%v, %v", v, err)
		}
	},
	"backend_getSystemConfiguration": func(b *bench.Bench) {
		v, err := b.Try("backend_getSystemConfiguration", methods.Params{})
		if fleet.CodeOf(err) == fleet.NotHere {
			return // an agent's cache keeps no logs of others
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Servers()
		for _, typ := range bench.Plain(v).(map[string]any)["log"].(map[string]any)["types"].([]any) {
			b.Call("log_write", typ, "one\n", "pc1.example.org")
		}
	},
	"journal_getEntries": func(b *bench.Bench) {
		b.Servers()
		b.Call("host_updateObject", fleet.Row{"type": "OpsiClient", "id": "pc1.example.org", "notes": "seen", "oneTimePassword": "another"})
		last := b.Rows("journal_getEntries", methods.Pos("pc1.example.org", int64(1)))
		if len(last) != 1 {
			b.Fatalf("%d entries, want the last", len(last))
		}
		e := last[0].(map[string]any)
		b.Same("entry", []any{"host", "pc1.example.org", "update"}, []any{e["class"], e["object"], e["operation"]})
		b.Same("after", map[string]any{"notes": "seen", "oneTimePassword": "***"}, e["after"])
	},
	"log_write": logCase,
	"log_read":  logCase,
}

// described is what backend_getInterface says of a method, without its text.
func described(b *bench.Bench, name string) any {
	b.Helper()
	for _, m := range b.Rows("backend_getInterface", methods.Params{}) {
		if m := m.(map[string]any); m["name"] == name {
			return []any{m["params"], m["args"], m["keywords"], m["defaults"], m["deprecated"], m["alternative_method"]}
		}
	}
	b.Fatalf("%s is not listed", name)
	return nil
}

func logCase(b *bench.Bench) {
	b.Servers()
	if _, err := b.Try("log_write", methods.Pos("instlog", "one\n", "pc1.example.org")); fleet.CodeOf(err) == fleet.NotHere {
		b.Refused(fleet.NotHere, "log_read", "instlog", "pc1.example.org")
		return // an agent's cache keeps no logs of others
	}
	b.Call("log_write", "instlog", "two\n", "pc1.example.org", true)
	b.Same("appended", "one\ntwo\n", b.Call("log_read", "instlog", "pc1.example.org"))
	b.Same("its end", "two\n", b.Call("log_read", "instlog", "pc1.example.org", 5))
	b.Call("log_write", "instlog", "three\n", "pc1.example.org", false)
	b.Same("replaced", "three\n", b.Call("log_read", "instlog", "pc1.example.org"))
	b.Refused(fleet.Invalid, "log_write", "../passwd", "x", "pc1.example.org")
	b.Refused(fleet.Invalid, "log_write", "instlog", "x", "../../etc")
}
