package hosts

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// joinCase is a case where machines join; elsewhere the method is not here.
func joinCase(method string, args []any, c func(*bench.Bench)) func(*bench.Bench) {
	return func(b *bench.Bench) {
		if _, err := b.Try("token_getObjects", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			b.Refused(fleet.NotHere, method, args...)
			return
		}
		c(b)
	}
}

// newToken makes a token for two machines.
func newToken(b *bench.Bench) map[string]any {
	b.Helper()
	return b.Call("token_create", "vnode", int64(2), int64(600), []any{}, "", "plain-opsi").(map[string]any)
}

// tokenState is what the list says of a token.
func tokenState(b *bench.Bench, id any) any {
	for _, e := range b.Call("token_getObjects").([]any) {
		if k := e.(map[string]any); k["id"] == id {
			if _, told := k["token"]; told {
				b.Errorf("the list tells the token's text: %v", k)
			}
			return k["state"]
		}
	}
	return nil
}

var joinCases = bench.Cases{
	"token_create": joinCase("token_create", nil, func(b *bench.Bench) {
		made := newToken(b)
		if text, _ := made["token"].(string); !strings.HasPrefix(text, "fw1.") || made["nodeType"] != "vnode" {
			b.Errorf("made %v", made)
		}
		b.Refused(fleet.Invalid, "token_create", "v node", int64(1), int64(600), []any{}, "", "plain-opsi")
		b.Refused(fleet.Invalid, "token_create", "", int64(0), int64(600), []any{}, "", "plain-opsi")
		b.Refused(fleet.Invalid, "token_create", "", int64(1), int64(1), []any{}, "", "plain-opsi")
		b.Refused(fleet.Invalid, "token_create", "", int64(1), int64(600), []any{}, "", "whatever")
		b.Refused(fleet.NotFound, "token_create", "", int64(1), int64(600), []any{"nowhere"}, "", "plain-opsi")
		b.Refused(fleet.NotFound, "token_create", "", int64(1), int64(600), []any{}, "nodepot.example.org", "plain-opsi")
	}),
	"token_getObjects": joinCase("token_getObjects", nil, func(b *bench.Bench) {
		if id := newToken(b)["id"]; tokenState(b, id) != "good" {
			b.Errorf("%v", b.Call("token_getObjects"))
		}
	}),
	"token_revoke": joinCase("token_revoke", []any{"nobody"}, func(b *bench.Bench) {
		id := newToken(b)["id"]
		b.Call("token_revoke", id)
		if tokenState(b, id) != "revoked" {
			b.Errorf("%v", b.Call("token_getObjects"))
		}
		b.Refused(fleet.NotFound, "token_revoke", "nosuchtoken")
	}),
	"host_getPending": joinCase("host_getPending", nil, func(b *bench.Bench) {
		if all := b.Call("host_getPending").([]any); len(all) != 0 { // who waits comes over HTTP only
			b.Errorf("%v", all)
		}
	}),
	"host_approve": joinCase("host_approve", []any{"0123456789abcdef"}, func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "host_approve", "0123456789abcdef")
	}),
	"host_deny": joinCase("host_deny", []any{"0123456789abcdef"}, func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "host_deny", "0123456789abcdef")
	}),
	"host_revoke": joinCase("host_revoke", []any{"pc1.example.org"}, func(b *bench.Bench) {
		b.Call("host_createOpsiClient", "pc8.example.org")
		b.Call("host_revoke", "pc8.example.org", "stolen")
		rows := b.Rows("host_getObjects", methods.Params{Named: map[string]any{"filter": map[string]any{"id": "pc8.example.org"}}})
		if len(rows) != 1 {
			b.Fatalf("%v", rows)
		}
		for _, secret := range []string{"opsiHostKey", "oneTimePassword"} {
			if v := rows[0].(map[string]any)[secret]; v != nil && v != "" {
				b.Errorf("%s is still there", secret)
			}
		}
		b.Refused(fleet.NotFound, "host_revoke", "nobody.example.org")
	}),
	"host_setKeyLogins": joinCase("host_setKeyLogins", []any{"pc1.example.org", true}, func(b *bench.Bench) {
		b.Call("host_createOpsiClient", "pc8.example.org")
		b.Refused(fleet.Invalid, "host_setKeyLogins", "pc8.example.org", false) // it would be locked out
	}),
	"host_getClones": joinCase("host_getClones", nil, func(b *bench.Bench) {
		if all := b.Call("host_getClones").([]any); len(all) != 0 {
			b.Errorf("%v", all)
		}
	}),
	"host_keepIdentity": joinCase("host_keepIdentity", []any{"pc1.example.org"}, func(b *bench.Bench) {
		b.Call("host_createOpsiClient", "pc8.example.org")
		b.Refused(fleet.NotFound, "host_keepIdentity", "pc8.example.org")
	}),
}
