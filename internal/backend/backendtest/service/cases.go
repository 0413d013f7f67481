// Package service holds the cases about the service itself: what it says of itself, and who
// logs in.
package service

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
)

// Cases show a method each.
var Cases = bench.All(serviceCases, accountCases)

// Rules belong to no single method.
var Rules = accountRules
