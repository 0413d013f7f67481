package backendtest

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// trustCase is a case where documents of content trust are kept; elsewhere the
// method is not here. What is done with good ones is in server/trust, whose tests
// call these over the same table.
func trustCase(method string, args []any, c func(*bench)) func(*bench) {
	return func(b *bench) {
		if _, err := b.try("trust_getDocuments", methods.Params{}); fleet.CodeOf(err) == fleet.NotHere {
			b.refused(fleet.NotHere, method, args...)
			return
		}
		c(b)
	}
}

var trustCases = map[string]func(*bench){
	"trust_getDocuments": trustCase("trust_getDocuments", nil, func(b *bench) {
		if got := b.call("trust_getDocuments").(map[string]any); len(got["online"].(map[string]any)) != 3 {
			b.Errorf("%v", got)
		}
		b.refused(fleet.Invalid, "trust_getDocuments", "the newest")
	}),
	"trust_getContent": trustCase("trust_getContent", []any{"00"}, func(b *bench) {
		b.refused(fleet.NotFound, "trust_getContent", "00")
	}),
	"trust_publish": trustCase("trust_publish", nil, func(b *bench) {
		b.refused(fleet.Invalid, "trust_publish", []any{"{}"})
		b.refused(fleet.Invalid, "trust_publish", []any{}, "", []any{"no base64"})
		before := len(b.call("trust_getDocuments").(map[string]any)["contents"].([]any))
		b.call("trust_publish", []any{}, "", []any{"c3VpdGU="})
		if after := b.call("trust_getDocuments").(map[string]any)["contents"].([]any); len(after) < max(before, 1) {
			b.Errorf("%v", after)
		}
	}),
	"trust_makeKeys": trustCase("trust_makeKeys", nil, func(b *bench) {
		made := b.call("trust_makeKeys").(map[string]any)
		if now := b.call("trust_getDocuments").(map[string]any)["online"].(map[string]any); now["depot"] != made["depot"] {
			b.Errorf("made %v, and %v is told", made, now)
		}
	}),
	"trust_getTree": trustCase("trust_getTree", []any{"depot1.example.org", "none"}, func(b *bench) {
		b.refused(fleet.NotFound, "trust_getTree", "depot1.example.org", "none")
	}),
}
