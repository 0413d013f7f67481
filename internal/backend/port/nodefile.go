package port

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// NodeFiles are the files of the nodes of a type. Errors carry a fleet.Code.
type NodeFiles interface {
	// Set puts a file into a type's list, with its blob.
	Set(tx *store.Tx, by store.Origin, nodeType string, f nodefile.File, blob []byte) error
	// Remove takes a path out of a type's list.
	Remove(tx *store.Tx, by store.Origin, nodeType, path string) error
	// List is the server's list of a type, and the one that was signed offline; nil
	// for none.
	List(tx *store.Tx, nodeType string) (own, signed *nodefile.List, err error)
	// Types are the node types that have a list here.
	Types(tx *store.Tx) ([]string, error)
	// Status is what hosts told last, by host id.
	Status(tx *store.Tx) ([]NodeFileHost, error)
	// HostKeys are the public keys of hosts' SSH servers, of hosts that count.
	HostKeys(tx *store.Tx) ([]HostKeys, error)
}

// NodeFileHost is how the files of a host are, as it told last.
type NodeFileHost struct {
	HostID   string            `json:"hostId"`
	NodeType string            `json:"nodeType"`
	Signed   bool              `json:"signed"`  // it believes signed lists only
	Current  bool              `json:"current"` // it follows the list that is the newest for it
	Problem  string            `json:"problem"`
	Told     string            `json:"told"`
	Files    []nodefile.Status `json:"files"`
}

// HostKeys are the keys of a host's SSH server.
type HostKeys struct {
	HostID   string   `json:"hostId"`
	NodeType string   `json:"nodeType"`
	Names    []string `json:"names"` // the node's name, its address in tunnels, the host id
	Keys     []string `json:"keys"`
	Since    string   `json:"since"`   // of the newest key
	Changed  string   `json:"changed"` // when a key took the place of another last, "" for never
}
