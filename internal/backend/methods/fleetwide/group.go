package fleetwide

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func groupMethods() []*methods.Method {
	operators := []methods.Role{methods.Operator}
	return []*methods.Method{
		{
			Name: "setProductActionRequestForHostGroup", Roles: operators, Do: orderForGroup, Writes: true, Deprecated: true,
			Doc:    "Requests an action of a product for the clients of a host group.",
			Params: []methods.Param{{Name: "hostGroupId"}, {Name: "productId"}, {Name: "actionRequest"}},
		},
		{
			Name: "setProductActionRequestForProductGroup", Roles: operators, Do: orderProductGroup, Writes: true, Deprecated: true,
			Doc:    "Requests an action of the products of a product group for the clients of a host group.",
			Params: []methods.Param{{Name: "hostGroupId"}, {Name: "productGroupId"}, {Name: "actionRequest"}},
		},
		{
			Name: "setProductPropertyForHostGroup", Roles: operators, Do: propertyForGroup, Writes: true, Deprecated: true,
			Doc:    "Sets a product's property for the clients of a host group.",
			Params: []methods.Param{{Name: "productId"}, {Name: "propertyId"}, {Name: "propertyValue"}, {Name: "groupId"}},
		},
		{
			Name: "groupname_exists", Roles: methods.Everyone, Do: groupExists, Deprecated: true, Instead: "group_getIdents",
			Doc:    "Whether there is a group of that name.",
			Params: []methods.Param{{Name: "groupId"}},
		},
		{
			Name: "group_rename", Roles: operators, Do: renameGroup, Writes: true, Deprecated: true,
			Doc:    "Gives a host group another name, with its members and the groups in it.",
			Params: []methods.Param{{Name: "oldGroupId"}, {Name: "newGroupId"}},
		},
	}
}

func textsOf(c *methods.Call, names ...string) ([]string, error) {
	out := make([]string, len(names))
	for i, name := range names {
		var err error
		if out[i], err = c.Text(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func orderForGroup(c *methods.Call) (any, error) {
	a, err := textsOf(c, "hostGroupId", "productId", "actionRequest")
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error {
		clients, err := members(c, tx, fleet.HostGroup, a[0])
		if err != nil {
			return err
		}
		return orderFor(c, tx, a[1], clients, fleet.Action(a[2]))
	})
}

func orderProductGroup(c *methods.Call) (any, error) {
	a, err := textsOf(c, "hostGroupId", "productGroupId", "actionRequest")
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error {
		clients, err := members(c, tx, fleet.HostGroup, a[0])
		if err != nil {
			return err
		}
		products, err := members(c, tx, fleet.ProductGroup, a[1])
		if err != nil {
			return err
		}
		for _, product := range products {
			if err := orderFor(c, tx, product, clients, fleet.Action(a[2])); err != nil {
				return err
			}
		}
		return nil
	})
}

func propertyForGroup(c *methods.Call) (any, error) {
	a, err := textsOf(c, "productId", "propertyId", "groupId")
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error {
		clients, err := members(c, tx, fleet.HostGroup, a[2])
		if err != nil {
			return err
		}
		for _, id := range clients {
			err := c.MergeRow(tx, fleet.ProductPropertyStates, fleet.Row{"productId": a[0], "propertyId": a[1], "objectId": id, "values": c.Args["propertyValue"]})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func groupExists(c *methods.Call) (any, error) {
	id, err := c.Text("groupId")
	if err != nil {
		return nil, err
	}
	found := false
	err = c.View(func(tx *store.Tx) error {
		all, err := c.SelectVisible(tx, fleet.Groups, nil)
		for _, g := range all {
			found = found || g["id"] == id
		}
		return err
	})
	return found, err
}

func renameGroup(c *methods.Call) (any, error) {
	a, err := textsOf(c, "oldGroupId", "newGroupId")
	if err != nil {
		return nil, err
	}
	from, to := a[0], a[1]
	return nil, c.Update(func(tx *store.Tx) error {
		group, err := tx.Get(fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": from})
		if err != nil {
			return fleet.WithHint(err, "see: fernwerk group list")
		}
		taken, err := tx.Select(fleet.Groups, fleet.Filter{"type": fleet.HostGroup})
		if err != nil {
			return err
		}
		for _, g := range taken {
			if g["id"] == to {
				return fleet.Errorf(fleet.Exists, "cannot rename group %q: %q exists", from, to)
			}
		}
		inside, err := members(c, tx, fleet.HostGroup, from)
		if err != nil {
			return err
		}
		renamed := group.Clone()
		renamed["id"] = to
		if err := c.MergeRow(tx, fleet.Groups, renamed); err != nil {
			return err
		}
		for _, g := range taken {
			if g["parentGroupId"] == from {
				err := c.MergeRow(tx, fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": g["id"], "parentGroupId": to})
				if err != nil {
					return err
				}
			}
		}
		for _, id := range inside {
			if err := c.MergeRow(tx, fleet.Memberships, fleet.Row{"groupType": fleet.HostGroup, "groupId": to, "objectId": id}); err != nil {
				return err
			}
		}
		return tx.Remove(fleet.Groups, group)
	})
}
