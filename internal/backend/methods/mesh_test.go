package methods_test

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// meshed is a mesh of both hosts.
type meshed struct{}

func (meshed) Paths(*store.Tx) ([]methods.MeshPath, error) {
	return []methods.MeshPath{{HostID: own}, {HostID: others}}, nil
}

func init() {
	handArguments["mesh_getPaths"] = func(h string) []any { return []any{[]any{h}} }
}
