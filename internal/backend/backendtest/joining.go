package backendtest

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// joinCase is a case where machines join; elsewhere the method is not here.
func joinCase(method string, args []any, c func(*bench)) func(*bench) {
	return func(b *bench) {
		if _, err := b.try("token_getObjects", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			b.refused(fleet.NotHere, method, args...)
			return
		}
		c(b)
	}
}

// newToken makes a token for two machines.
func (b *bench) newToken() map[string]any {
	b.Helper()
	return b.call("token_create", "vnode", int64(2), int64(600), []any{}, "", "plain-opsi").(map[string]any)
}

// tokenState is what the list says of a token.
func (b *bench) tokenState(id any) any {
	for _, e := range b.call("token_getObjects").([]any) {
		if k := e.(map[string]any); k["id"] == id {
			if _, told := k["token"]; told {
				b.Errorf("the list tells the token's text: %v", k)
			}
			return k["state"]
		}
	}
	return nil
}

var joinCases = map[string]func(*bench){
	"token_create": joinCase("token_create", nil, func(b *bench) {
		made := b.newToken()
		if text, _ := made["token"].(string); !strings.HasPrefix(text, "fw1.") || made["nodeType"] != "vnode" {
			b.Errorf("made %v", made)
		}
		b.refused(fleet.Invalid, "token_create", "v node", int64(1), int64(600), []any{}, "", "plain-opsi")
		b.refused(fleet.Invalid, "token_create", "", int64(0), int64(600), []any{}, "", "plain-opsi")
		b.refused(fleet.Invalid, "token_create", "", int64(1), int64(1), []any{}, "", "plain-opsi")
		b.refused(fleet.Invalid, "token_create", "", int64(1), int64(600), []any{}, "", "whatever")
		b.refused(fleet.NotFound, "token_create", "", int64(1), int64(600), []any{"nowhere"}, "", "plain-opsi")
		b.refused(fleet.NotFound, "token_create", "", int64(1), int64(600), []any{}, "nodepot.example.org", "plain-opsi")
	}),
	"token_getObjects": joinCase("token_getObjects", nil, func(b *bench) {
		if id := b.newToken()["id"]; b.tokenState(id) != "good" {
			b.Errorf("%v", b.call("token_getObjects"))
		}
	}),
	"token_revoke": joinCase("token_revoke", []any{"nobody"}, func(b *bench) {
		id := b.newToken()["id"]
		b.call("token_revoke", id)
		if b.tokenState(id) != "revoked" {
			b.Errorf("%v", b.call("token_getObjects"))
		}
		b.refused(fleet.NotFound, "token_revoke", "nosuchtoken")
	}),
	"host_getPending": joinCase("host_getPending", nil, func(b *bench) {
		if all := b.call("host_getPending").([]any); len(all) != 0 { // who waits comes over HTTP only
			b.Errorf("%v", all)
		}
	}),
	"host_approve": joinCase("host_approve", []any{"0123456789abcdef"}, func(b *bench) {
		b.refused(fleet.NotFound, "host_approve", "0123456789abcdef")
	}),
	"host_deny": joinCase("host_deny", []any{"0123456789abcdef"}, func(b *bench) {
		b.refused(fleet.NotFound, "host_deny", "0123456789abcdef")
	}),
	"host_revoke": joinCase("host_revoke", []any{"pc1.example.org"}, func(b *bench) {
		b.call("host_createOpsiClient", "pc8.example.org")
		b.call("host_revoke", "pc8.example.org", "stolen")
		rows := b.rows("host_getObjects", methods.Params{Named: map[string]any{"filter": map[string]any{"id": "pc8.example.org"}}})
		if len(rows) != 1 {
			b.Fatalf("%v", rows)
		}
		for _, secret := range []string{"opsiHostKey", "oneTimePassword"} {
			if v := rows[0].(map[string]any)[secret]; v != nil && v != "" {
				b.Errorf("%s is still there", secret)
			}
		}
		b.refused(fleet.NotFound, "host_revoke", "nobody.example.org")
	}),
	"host_setKeyLogins": joinCase("host_setKeyLogins", []any{"pc1.example.org", true}, func(b *bench) {
		b.call("host_createOpsiClient", "pc8.example.org")
		b.refused(fleet.Invalid, "host_setKeyLogins", "pc8.example.org", false) // it would be locked out
	}),
	"host_getClones": joinCase("host_getClones", nil, func(b *bench) {
		if all := b.call("host_getClones").([]any); len(all) != 0 {
			b.Errorf("%v", all)
		}
	}),
	"host_keepIdentity": joinCase("host_keepIdentity", []any{"pc1.example.org"}, func(b *bench) {
		b.call("host_createOpsiClient", "pc8.example.org")
		b.refused(fleet.NotFound, "host_keepIdentity", "pc8.example.org")
	}),
}
