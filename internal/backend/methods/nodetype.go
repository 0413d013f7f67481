package methods

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// fitNodeType refuses a node type whose columns do not fit together, or whose
// addresses and names are another's.
func fitNodeType(tx *store.Tx, r fleet.Row) error {
	r, err := fleet.NodeTypes.Check(r, fleet.Creating)
	if err != nil {
		return err
	}
	var t fleet.NodeType
	fleet.NodeTypes.Decode(r, &t)
	others, err := store.All[fleet.NodeType](tx, fleet.NodeTypes, nil)
	if err != nil {
		return err
	}
	return node.Check(t, others)
}
