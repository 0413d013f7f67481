package methods

import "github.com/fernwerk/fernwerk/internal/backend/store"

// MeshPath is how a node reaches another, as it told last.
type MeshPath struct {
	HostID      string
	Address     string
	Peer        string // the other's host id, "" if nobody has the address now
	PeerAddress string
	Path        string // direct, relayed, or none
	Why         string
	At          string // RFC 3339
}

// Mesh is the mesh of nodes.
type Mesh interface {
	Paths(tx *store.Tx) ([]MeshPath, error)
}
