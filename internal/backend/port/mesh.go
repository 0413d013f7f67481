package port

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// MeshAuthority is who signs for the mesh's nodes.
type MeshAuthority interface {
	Rotation(tx *store.Tx) (mesh.Rotation, error)
	// Rotate begins to replace it, or finishes without those who have not moved.
	Rotate(tx *store.Tx, finish bool) (mesh.Rotation, error)
}
