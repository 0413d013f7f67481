package service

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// account finds an account in the list, nil if it is not there.
func account(b *bench.Bench, name string) map[string]any {
	b.Helper()
	for _, e := range b.Call("account_list").([]any) {
		if a := e.(map[string]any); a["name"] == name {
			return a
		}
	}
	return nil
}

// accountCase is a case where people log in; elsewhere the method is not here.
func accountCase(method string, args []any, c func(*bench.Bench)) func(*bench.Bench) {
	return func(b *bench.Bench) {
		if !b.HasAccounts() {
			b.Refused(fleet.NotHere, method, args...)
			return
		}
		if account(b, "lena") != nil {
			b.Call("account_delete", "lena")
		}
		c(b)
	}
}

var accountCases = bench.Cases{
	"account_list": accountCase("account_list", nil, func(b *bench.Bench) {
		b.Call("account_create", "lena", "reader", []any{}, "longenough")
		if a := account(b, "lena"); a["role"] != "reader" || a["codes"] != false || a["created"] == "" || len(a) != 6 {
			b.Errorf("%v", a)
		}
	}),
	"account_self": accountCase("account_self", nil, func(b *bench.Bench) {
		if a := b.Call("account_self").(map[string]any); a["role"] != "administrator" || a["name"] == "" {
			b.Errorf("%v", a)
		}
	}),
	"account_create": accountCase("account_create", []any{"lena", "reader"}, func(b *bench.Bench) {
		b.Call("group_createHostGroup", "branch")
		b.Refused(fleet.Invalid, "account_create", "lena", "emperor")
		b.Refused(fleet.Invalid, "account_create", "Lena Loud", "reader")
		b.Refused(fleet.Invalid, "account_create", "lena", "reader", []any{}, "short")
		b.Refused(fleet.NotFound, "account_create", "lena", "operator", []any{"nowhere"})
		b.Refused(fleet.Invalid, "account_create", "lena", "administrator", []any{"branch"})
		if account(b, "lena") != nil {
			b.Fatal("half done")
		}
		made := b.Call("account_create", "Lena", "operator", []any{"branch"}).(map[string]any)
		if p, _ := made["password"].(string); len(p) < 20 || made["name"] != "lena" {
			b.Errorf("made %v", made)
		}
		if a := account(b, "lena"); a["role"] != "operator" || !slices.Equal(a["groups"].([]any), []any{"branch"}) {
			b.Errorf("%v", a)
		}
		b.Refused(fleet.Exists, "account_create", "lena", "reader")
	}),
	"account_delete": accountCase("account_delete", []any{"lena"}, func(b *bench.Bench) {
		b.Call("account_create", "lena", "reader", []any{}, "longenough")
		b.Call("account_delete", "lena")
		if account(b, "lena") != nil || len(b.Rows("user_getObjects", methods.Params{Named: map[string]any{"id": "lena"}})) > 0 {
			b.Error("she is still there")
		}
		b.Refused(fleet.NotFound, "account_delete", "lena")
		b.Refused(fleet.Conflict, "account_delete", b.Call("account_self").(map[string]any)["name"]) // the last administrator
	}),
	"account_setRole": accountCase("account_setRole", []any{"lena", "reader"}, func(b *bench.Bench) {
		b.Call("account_create", "lena", "reader", []any{}, "longenough")
		b.Call("account_setRole", "lena", "operator")
		if a := account(b, "lena"); a["role"] != "operator" {
			b.Errorf("%v", a)
		}
		b.Refused(fleet.Conflict, "account_setRole", b.Call("account_self").(map[string]any)["name"], "operator")
		entries := b.Rows("journal_getEntries", methods.Params{Named: map[string]any{"class": "account", "operation": "role", "limit": int64(1)}})
		if e := entries[0].(map[string]any); e["object"] != "lena" || e["after"].(map[string]any)["role"] != "operator" {
			b.Errorf("the journal says %v", e)
		}
	}),
	"account_setPassword": accountCase("account_setPassword", nil, func(b *bench.Bench) {
		b.Call("account_create", "lena", "reader", []any{}, "longenough")
		if made := b.Call("account_setPassword", "lena").(map[string]any); made["password"] == nil {
			b.Errorf("%v", made)
		}
		if set := b.Call("account_setPassword", "lena", "another long one").(map[string]any); set["password"] != nil {
			b.Errorf("%v", set)
		}
		b.Refused(fleet.Invalid, "account_setPassword", "lena", "short")
		b.Refused(fleet.Denied, "account_setPassword", nil, "another long one") // the own one, without the old one
	}),
	"account_beginTotp": accountCase("account_beginTotp", []any{"secret"}, func(b *bench.Bench) {
		b.Refused(fleet.Denied, "account_beginTotp", "not the password")
	}),
	"account_confirmTotp": accountCase("account_confirmTotp", []any{"000000"}, func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "account_confirmTotp", "000000") // nothing was begun
	}),
	"account_removeTotp": accountCase("account_removeTotp", nil, func(b *bench.Bench) {
		b.Call("account_create", "lena", "reader", []any{}, "longenough")
		b.Call("account_removeTotp", "lena")
		b.Refused(fleet.NotFound, "account_removeTotp", "nobody")
	}),
}

var accountRules = bench.Cases{
	"accounts/opsi's users stand for them": accountCase("account_list", nil, func(b *bench.Bench) {
		b.Call("account_create", "lena", "reader", []any{}, "longenough")
		users := b.Rows("user_getObjects", methods.Params{Named: map[string]any{"id": "lena"}})
		if u := users[0].(map[string]any); u["mfaState"] != "inactive" || u["otpSecret"] != nil || len(u) != 7 { // opsi's five, type, ident
			b.Errorf("%v", u)
		}
		b.Refused(fleet.Invalid, "user_updateObject", map[string]any{"id": "lena", "mfaState": "totp_active"})
		b.Refused(fleet.Invalid, "user_updateObject", map[string]any{"id": "lena", "otpSecret": "JBSWY3DPEHPK3PXP"})
		b.Call("user_delete", "lena")
		if account(b, "lena") != nil {
			b.Error("the account is still there")
		}
		b.Refused(fleet.Conflict, "user_delete", b.Call("account_self").(map[string]any)["name"])
	}),
	"journal/in pages, backwards": func(b *bench.Bench) {
		for _, d := range []string{"one", "two", "three"} {
			b.Call("host_updateObjects", map[string]any{"id": "pc1.example.org", "type": fleet.OpsiClient, "description": d})
		}
		ask := func(limit int64, before any) []any {
			return b.Rows("journal_getEntries", methods.Params{Named: map[string]any{"objectId": "pc1.example.org", "class": "host", "limit": limit, "before": before}})
		}
		all := ask(1000, nil)
		var paged []any
		for before := any(nil); ; {
			page := ask(2, before)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			before = page[len(page)-1].(map[string]any)["place"]
		}
		if len(all) < 3 || len(paged) != len(all) {
			b.Fatalf("%d entries, in pages %d", len(all), len(paged))
		}
		for i := range all {
			if all[i].(map[string]any)["place"] != paged[i].(map[string]any)["place"] {
				b.Errorf("entry %d: %v and %v", i, all[i], paged[i])
			}
		}
		none := methods.Params{Named: map[string]any{"until": "2000-01-01"}}
		if got := b.Rows("journal_getEntries", none); len(got) > 0 {
			b.Errorf("before all time: %v", got)
		}
		b.Refused(fleet.Invalid, "journal_getEntries", "", int64(1), "", "yesterday")
		b.Refused(fleet.Invalid, "journal_getEntries", "", int64(1), "", "", "", "", "", "x.y")
	},
}
