package gate

import (
	"cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Allows refuses a tunnel of OpenVPN to the nodes of a type that has none.
func Allows(t fleet.NodeType) error {
	if t.Tunnel == "openvpn" || t.Tunnel == "both" {
		return nil
	}
	to := "openvpn"
	if t.Tunnel == "mesh" {
		to = "both"
	}
	return fleet.WithHint(fleet.Errorf(fleet.Denied, "its node type %s has no tunnel of OpenVPN, but %s: fernwerk node-type set %s --tunnel %s", t.ID, t.Tunnel, t.ID, to),
		"what a node type uses is said at the server, by its --tunnel; a node that is in the mesh alone enters by: fernwerk-agent mesh up")
}

// Gives refuses the credentials of a tunnel to a host of a type that has none. A type
// that says nothing, or a host without one, gets those of a tunnel whose server is
// somebody else's.
func Gives(tx *store.Tx, nodeType string, served bool) error {
	r, err := tx.ByKey(fleet.NodeTypes, nodeType)
	if err != nil || r == nil {
		return err
	}
	var t fleet.NodeType
	fleet.NodeTypes.Decode(r, &t)
	if t.Tunnel == "none" && !served {
		return nil
	}
	return Allows(t)
}

// kind is the node type of a host whose identity is good. A host that joined again
// under its name, by a one-time password, says no type: it has the one that it had.
func (g *Gate) kind(tx *store.Tx, hostID string) (t fleet.NodeType, err error) {
	nodeType, err := g.Identity(tx, hostID)
	if err != nil {
		return t, err
	}
	n, _, err := g.Node(tx, hostID)
	if err != nil {
		return t, err
	}
	return typeOf(tx, cmp.Or(nodeType, n.NodeType))
}
