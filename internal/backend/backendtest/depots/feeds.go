package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// feedCases are about a server that has no feed yet: what it refuses. What it takes
// needs a key, and is tested where the feed is.
var feedCases = bench.Cases{
	"feed_publish": func(b *bench.Bench) {
		_, err := b.Try("feed_publish", methods.Pos("echo nobody signed this"))
		if got := fleet.CodeOf(err); got != fleet.NotHere && got != fleet.Invalid && got != fleet.Denied {
			b.Errorf("an unsigned script: %v", err)
		}
	},
	"feed_getState": func(b *bench.Bench) {
		_, err := b.Try("feed_getState", methods.Pos())
		if got := fleet.CodeOf(err); got != fleet.NotHere && got != fleet.NotFound {
			b.Errorf("nothing is published: %v", err)
		}
	},
}
