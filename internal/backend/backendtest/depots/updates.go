package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// updateCase is a case of a method about run-once updates. Where some are
// published, an update that nobody signed is the matter; elsewhere the method is
// not here.
func updateCase(method string, code fleet.Code, args ...any) func(*bench.Bench) {
	return func(b *bench.Bench) {
		v, err := b.Try(method, methods.Pos(args...))
		if got := fleet.CodeOf(err); got != fleet.NotHere && got != code {
			b.Errorf("%s %v = %v, error %v", method, args, v, err)
		}
	}
}

var updateCases = bench.Cases{
	"update_publish":   updateCase("update_publish", fleet.NotFound, "999"),
	"update_withdraw":  updateCase("update_withdraw", fleet.NotFound, "999"),
	"update_decide":    updateCase("update_decide", fleet.NotFound, "999", "pc1.example.org", "skip"),
	"update_getStatus": updateCase("update_getStatus", fleet.NotFound, "999"),
	"update_report":    updateCase("update_report", fleet.Denied, map[string]any{"number": "999"}),
}
