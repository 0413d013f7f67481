package methods

import (
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func hostMethods() []*Method {
	return []*Method{
		{
			Name: "host_renameOpsiClient", Roles: []Role{Operator}, call: renameClient, Writes: true,
			Doc:    "Gives a client another id, with all that belongs to it.",
			Params: []Param{{Name: "id"}, {Name: "newId"}},
		},
	}
}

// hostID is a host's name as the store has it.
func hostID(name string) (string, error) {
	id := strings.ToLower(name)
	return id, fleet.ValidHostID(id)
}

// hostIDs are the hosts that an argument names: at least one, each by its whole
// name.
func (c *Call) hostIDs(name string) ([]string, error) {
	ids, err := c.texts(name)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s names no host", c.m.Name, name)
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		if out[i], err = hostID(id); err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.m.Name, err)
		}
	}
	return out, nil
}

// moving is a row that names a client, and the columns by which it does.
type moving struct {
	class   *fleet.Class
	row     fleet.Row
	columns []string
}

func renameClient(c *Call) (any, error) {
	from, err := c.hostIDs("id")
	if err != nil {
		return nil, err
	}
	to, err := c.hostIDs("newId")
	if err != nil {
		return nil, err
	}
	if len(from) != 1 || len(to) != 1 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: it renames one client", c.m.Name)
	}
	return nil, c.update(func(tx *store.Tx) error { return rename(tx, from[0], to[0]) })
}

func rename(tx *store.Tx, from, to string) error {
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
	for _, class := range slices.Concat(fleet.Classes(), []*fleet.Class{seatReservations}) {
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
