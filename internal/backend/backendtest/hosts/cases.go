// Package hosts holds the cases about hosts: who there is, what they are asked to do, the
// machines that join, clients in a WAN.
package hosts

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
)

// Cases show a method each.
var Cases = bench.All(fleetwideCases, credentialCases, wanCases, hostCases, selectionCases, hostControlCases, joinCases)

// Rules belong to no single method.
var Rules = bench.All(wanRules, hostRules)
