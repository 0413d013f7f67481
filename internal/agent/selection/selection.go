// Package selection says which products the product groups of a configuration let
// through: all that it includes, if it names any, without those that it excludes.
package selection

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// Of tells of a product whether all selections let it through; nil if there is none.
func Of(tx *store.Tx, selections []conf.ProductGroups) (func(fleet.ProductID) bool, error) {
	selections = slices.DeleteFunc(selections, func(g conf.ProductGroups) bool { return len(g.Include)+len(g.Exclude) == 0 })
	if len(selections) == 0 {
		return nil, nil
	}
	members, err := tx.Select(fleet.Memberships, fleet.Filter{"groupType": fleet.ProductGroup})
	if err != nil {
		return nil, err
	}
	groups := map[fleet.ProductID][]string{}
	for _, m := range members {
		id := fleet.ProductID(m.Str("objectId"))
		groups[id] = append(groups[id], m.Str("groupId"))
	}
	return func(id fleet.ProductID) bool {
		return !slices.ContainsFunc(selections, func(g conf.ProductGroups) bool { return !lets(g, groups[id]) })
	}, nil
}

// lets tells whether a selection lets a product of these groups through.
func lets(g conf.ProductGroups, groups []string) bool {
	in := func(id string) bool { return slices.Contains(groups, id) }
	return (len(g.Include) == 0 || slices.ContainsFunc(g.Include, in)) && !slices.ContainsFunc(g.Exclude, in)
}
