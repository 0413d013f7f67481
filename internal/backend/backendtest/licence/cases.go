// Package licence holds the cases about licences, and about seats that are reserved.
package licence

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
)

// Cases show a method each.
var Cases = bench.All(licensingCases, licenseCases, leaseCases)

// Rules belong to no single method.
var Rules = licenseRules
