package methods_test

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// meshed is a mesh of both hosts.
func meshed(*store.Tx) ([]mesh.Way, error) {
	return []mesh.Way{{HostID: own}, {HostID: others}}, nil
}

func init() {
	handArguments["mesh_getAuthority"] = func(string) []any { return nil }
	handArguments["mesh_rotateAuthority"] = func(string) []any { return nil }
	handArguments["mesh_getPaths"] = func(h string) []any { return []any{[]any{h}} }
}

// signers replaces nothing.
type signers struct{}

func (signers) Rotation(*store.Tx) (mesh.Rotation, error) {
	return mesh.Rotation{Stage: mesh.Settled, Waiting: []string{}}, nil
}

func (signers) Rotate(*store.Tx, bool) (mesh.Rotation, error) {
	return mesh.Rotation{Stage: mesh.Learning, Waiting: []string{}}, nil
}
