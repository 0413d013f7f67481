package methods

import (
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// hostMayWrite lists what a host may write of itself. Every other class is
// read-only for it.
var hostMayWrite = []*fleet.Class{
	fleet.Hosts, fleet.ConfigStates, fleet.ProductPropertyStates, fleet.ProductsOnClients, fleet.LicensesOnClients,
	fleet.AuditSoftwares, fleet.AuditSoftwareOnClients, fleet.AuditHardwares, fleet.AuditHardwareOnHosts,
}

// hostMayNotRead lists the classes that are no host's business.
var hostMayNotRead = []*fleet.Class{fleet.Users, fleet.LicenseContracts}

// Visible narrows rows to what the actor may see, and takes out what it may
// not read of them.
func (c *Call) Visible(tx *store.Tx, class *fleet.Class, rows []fleet.Row) ([]fleet.Row, error) {
	sees, err := c.sight(tx, class)
	if err != nil {
		return nil, err
	}
	var out []fleet.Row
	for _, r := range rows {
		if r, visible := sees(r); visible {
			out = append(out, r)
		}
	}
	return out, nil
}

// sight is a row as the actor sees it, if it does.
type sight func(fleet.Row) (seen fleet.Row, visible bool)

// sight says what the actor sees of a class: a host sees itself, the servers,
// and what belongs to neither; somebody bound to groups sees the hosts in them in
// that way; secrets go to administrators, depots and the host itself. Of accounts
// everybody but an administrator sees his own.
func (c *Call) sight(tx *store.Tx, class *fleet.Class) (sight, error) {
	switch {
	case c.Actor.Role == Administrator || c.Actor.Role == Depot:
		return func(r fleet.Row) (fleet.Row, bool) { return r, true }, nil
	case c.Actor.Role == Host && slices.Contains(hostMayNotRead, class):
		return func(fleet.Row) (fleet.Row, bool) { return nil, false }, nil
	}
	bound, err := c.scope(tx)
	if err != nil {
		return nil, err
	}
	col := hostOf(class)
	host := c.Actor.Role == Host && col != ""
	var servers map[string]bool
	if host || bound != nil {
		if servers, err = c.servers(tx); err != nil {
			return nil, err
		}
	}
	return func(r fleet.Row) (fleet.Row, bool) {
		own := host && r.Str(col) == c.Actor.ID
		switch {
		case class == fleet.Users && r.Str("id") != c.Actor.ID,
			host && !own && !servers[r.Str(col)] && r.Str("groupType") != fleet.ProductGroup,
			bound != nil && !bound.Sees(class, r, servers):
			return nil, false
		}
		return c.redact(class, r, own), true
	}, nil
}

func (c *Call) redact(class *fleet.Class, r fleet.Row, own bool) fleet.Row {
	copied := false
	for _, col := range class.Columns {
		if r[col.Name] == nil || !c.hides(col, own) {
			continue
		}
		if !copied {
			r, copied = r.Clone(), true
		}
		r[col.Name] = nil
	}
	return r
}

// MayWrite refuses a host's write of anything but itself. Writing another
// client's object is an error, not a silent skip (as opsi does).
func (c *Call) MayWrite(class *fleet.Class, r fleet.Row) error {
	if c.Actor.Role != Host {
		return nil
	}
	col := hostOf(class)
	if class == fleet.Hosts {
		for _, name := range []string{"opsiHostKey", "oneTimePassword", "type"} {
			if r[name] != nil && !(name == "type" && r[name] == fleet.OpsiClient) {
				return fleet.Errorf(fleet.Denied, "cannot change %s of %s: a host does not set its own", name, r.Str("id"))
			}
		}
	}
	if !slices.Contains(hostMayWrite, class) || col != "" && r.Str(col) != c.Actor.ID {
		return fleet.Errorf(fleet.Denied, "cannot change %s %q: host %s may only change what is its own", class.Name, class.IdentString(r), c.Actor.ID)
	}
	return nil
}

// mayWriteRow is MayWrite, and keeps an operator from raising itself: who may
// not read a host's credentials may not choose them either, and the servers,
// which read them all and which clients trust, are the administrators'.
func (c *Call) mayWriteRow(tx *store.Tx, class *fleet.Class, r fleet.Row) error {
	if err := c.MayWrite(class, r); err != nil || c.Actor.Role != Operator || class != fleet.Hosts {
		return err
	}
	for _, col := range class.Columns {
		if col.Secret && r[col.Name] != nil {
			return fleet.Errorf(fleet.Denied, "cannot change %s of %s: only an administrator sets it", col.Name, r.Str("id"))
		}
	}
	old, err := tx.ByKey(class, strings.ToLower(r.Str("id")))
	if err != nil {
		return err
	}
	for _, h := range []fleet.Row{r, old} {
		if class.Type(h) != fleet.OpsiClient {
			return fleet.Errorf(fleet.Denied, "cannot change %s: only an administrator changes servers", r.Str("id"))
		}
	}
	return nil
}

var Everyone = []Role{Operator, Reader, Depot, Host}

func readers(class *fleet.Class) []Role {
	if slices.Contains(hostMayNotRead, class) {
		return []Role{Operator, Reader, Depot}
	}
	return Everyone
}

// operation is what a generated method does with rows.
type operation int

const (
	reads operation = iota
	changes
	replaces
	deletes
)

// writers are the roles that may write a class. A host changes its own row, but
// neither makes nor removes a host, and what belongs to all (the list of known
// software) it only adds to.
func writers(class *fleet.Class, op operation) []Role {
	roles := []Role{Operator, Depot}
	switch {
	case class == fleet.Users, class == fleet.NodeTypes: // which says what a tunnel leads to
		return []Role{}
	case !slices.Contains(hostMayWrite, class):
	case class == fleet.Hosts && op != changes:
	case op == deletes && hostOf(class) == "":
	default:
		roles = append(roles, Host)
	}
	return roles
}
