// Package depots holds the cases about what depots have and bring: products that depend on
// each other, slots for transfers, feeds, updates, and what is signed.
package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
)

// Cases show a method each.
var Cases = bench.All(slotCases, dependencyCases, depotCases, trustCases, updateCases, feedCases)
