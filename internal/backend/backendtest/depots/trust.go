package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// trustCase is a case where documents of content trust are kept; elsewhere the
// method is not here. What is done with good ones is in server/trust, whose tests
// call these over the same table.
func trustCase(method string, args []any, c func(*bench.Bench)) func(*bench.Bench) {
	return func(b *bench.Bench) {
		if _, err := b.Try("trust_getDocuments", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			b.Refused(fleet.NotHere, method, args...)
			return
		}
		c(b)
	}
}

var trustCases = bench.Cases{
	"trust_getDocuments": trustCase("trust_getDocuments", nil, func(b *bench.Bench) {
		if got := b.Call("trust_getDocuments").(map[string]any); len(got["online"].(map[string]any)) != 3 {
			b.Errorf("%v", got)
		}
		b.Refused(fleet.Invalid, "trust_getDocuments", "the newest")
	}),
	"trust_getContent": trustCase("trust_getContent", []any{"00"}, func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "trust_getContent", "00")
	}),
	"trust_publish": trustCase("trust_publish", nil, func(b *bench.Bench) {
		b.Refused(fleet.Invalid, "trust_publish", []any{"{}"})
		b.Refused(fleet.Invalid, "trust_publish", []any{}, "", []any{"no base64"})
		before := len(b.Call("trust_getDocuments").(map[string]any)["contents"].([]any))
		b.Call("trust_publish", []any{}, "", []any{"c3VpdGU="})
		if after := b.Call("trust_getDocuments").(map[string]any)["contents"].([]any); len(after) < max(before, 1) {
			b.Errorf("%v", after)
		}
	}),
	"trust_makeKeys": trustCase("trust_makeKeys", nil, func(b *bench.Bench) {
		made := b.Call("trust_makeKeys").(map[string]any)
		if now := b.Call("trust_getDocuments").(map[string]any)["online"].(map[string]any); now["depot"] != made["depot"] {
			b.Errorf("made %v, and %v is told", made, now)
		}
	}),
	"trust_getTree": trustCase("trust_getTree", []any{"depot1.example.org", "none"}, func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "trust_getTree", "depot1.example.org", "none")
	}),
}
