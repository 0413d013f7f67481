// Package hosts holds methods about clients as a whole: which of them are meant
// by a condition, another name, WAN mode, and the transfer slots that keep them
// from filling their caches all at once.
package hosts

import (
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{
		Methods: slices.Concat(hostMethods(), selectionMethods(), wanMethods(), slotMethods()),
		Classes: []*fleet.Class{transferSlots},
	}
}

func hostMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "host_renameOpsiClient", Roles: []methods.Role{methods.Operator}, Do: renameClient, Writes: true,
			Doc:    "Gives a client another id, with all that belongs to it.",
			Params: []methods.Param{{Name: "id"}, {Name: "newId"}},
		},
	}
}

// moving is a row that names a client, and the columns by which it does.
type moving struct {
	class   *fleet.Class
	row     fleet.Row
	columns []string
}

func renameClient(c *methods.Call) (any, error) {
	from, err := c.HostIDs("id")
	if err != nil {
		return nil, err
	}
	to, err := c.HostIDs("newId")
	if err != nil {
		return nil, err
	}
	if len(from) != 1 || len(to) != 1 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: it renames one client", c.Method.Name)
	}
	return nil, c.Update(func(tx *store.Tx) error { return rename(tx, c.Classes(), from[0], to[0]) })
}

func rename(tx *store.Tx, classes []*fleet.Class, from, to string) error {
	host, err := tx.Get(fleet.Hosts, fleet.Row{"id": from})
	if err != nil {
		return fleet.WithHint(err, "see: fernwerk host list")
	}
	if host["type"] != fleet.OpsiClient {
		return fleet.Errorf(fleet.Invalid, "cannot rename %s: it is a server, whose clients know it by its name", from)
	}
	if taken, err := tx.ByKey(fleet.Hosts, to); err != nil || taken != nil {
		if err == nil {
			err = fleet.Errorf(fleet.Exists, "cannot rename %s: %s exists", from, to)
		}
		return err
	}
	all := []moving{{fleet.Hosts, host, []string{"id"}}}
	for _, class := range classes {
		rows, err := naming(tx, class, from)
		if err != nil {
			return err
		}
		all = append(all, rows...)
	}
	// The working copy under the old name is not the new one's.
	if err := tx.Remove(replica.Receipts, fleet.Row{"client": from}); err != nil {
		return err
	}
	if err := tx.Remove(fleet.Hosts, host); err != nil {
		return err
	}
	for _, m := range all {
		r := m.row.Clone()
		for _, name := range m.columns {
			r[name] = to
		}
		if err := tx.Put(m.class, r); err != nil {
			return err
		}
	}
	return nil
}

// naming are the rows of a class, but for hosts, that name a client.
func naming(tx *store.Tx, class *fleet.Class, id string) ([]moving, error) {
	found := map[string]moving{}
	for _, col := range class.Columns {
		if class == fleet.Hosts || col.Valid != "host" && col.Name != class.HostColumn() {
			continue
		}
		rows, err := tx.Select(class, fleet.Filter{col.Name: id})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			m := found[class.Key(r)]
			m.class, m.row = class, r
			if r.Str("groupType") != fleet.ProductGroup { // a product may have the name of a host, and keeps it
				m.columns = append(m.columns, col.Name)
			}
			found[class.Key(r)] = m
		}
	}
	var out []moving
	for _, m := range found {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b moving) int { return strings.Compare(class.Key(a.row), class.Key(b.row)) })
	return out, nil
}
