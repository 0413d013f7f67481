// Package nodetype holds the rule that node types keep among each other, where
// they are written: no two may want an address or a name. The rule itself is of
// package fleet/node; package methods asks here before it writes a row.
package nodetype

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Fit refuses a node type whose columns do not fit together, or whose
// addresses and names are another's.
func Fit(tx *store.Tx, r fleet.Row) error {
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
