// Package nodes holds the cases about nodes: tunnels, the mesh, names, schedulers, and the
// files of their types.
package nodes

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
)

// Cases show a method each.
var Cases = bench.All(nodeCases, nodeFileCases)
