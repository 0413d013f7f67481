package trust

import (
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Root names the keys of the other roles and its own. A machine begins with one
// that it got with its token, and follows from there: each next root is signed by
// the one before it and by itself.
type Root struct {
	Header
	Keys  Keys
	Roles map[string]Role // root, targets, snapshot, timestamp
	env   *envelope
}

// ParseRoot reads a root; it does not verify its signatures.
func ParseRoot(data []byte) (*Root, error) {
	env, d, h, err := open(RoleRoot, data)
	if err != nil {
		return nil, err
	}
	r := &Root{Header: h, Keys: d.keys(d.body["keys"]), Roles: map[string]Role{}, env: env}
	if d.body["consistent_snapshot"] != true {
		d.fail("it does not ask for consistent snapshots")
	}
	for name, v := range d.object("roles", d.body["roles"]) {
		r.Roles[name] = d.role(name, d.object("roles", v), r.Keys)
	}
	if d.err == nil {
		d.err = r.check()
	}
	if d.err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read a root: %w", d.err)
	}
	return r, nil
}

// Raw is the document as it came, with its signatures.
func (r *Root) Raw() []byte { return r.env.raw }

func (r *Root) kind() string    { return RoleRoot }
func (r *Root) header() *Header { return &r.Header }

func (r *Root) check() error {
	for name, role := range r.Roles {
		if err := role.check(r.Keys); err != nil {
			return fmt.Errorf("the role %s: %w", clip(name), err)
		}
	}
	for _, name := range topRoles {
		if _, ok := r.Roles[name]; !ok {
			return fmt.Errorf("it does not name the role %s", name)
		}
	}
	if len(r.Roles) != len(topRoles) {
		return fmt.Errorf("it names roles that are not %v", topRoles)
	}
	return r.checkHeader()
}

func (r *Root) encode() (map[string]any, error) {
	roles := map[string]any{}
	for name, role := range r.Roles {
		roles[name] = role.encode()
	}
	return map[string]any{"consistent_snapshot": true, "keys": r.Keys.encode(), "roles": roles}, nil
}

// Verify checks that the root is signed by its own role, and, where before is the
// one that it follows, by that one's too, with the next number.
func (r *Root) Verify(before *Root) error {
	if before != nil {
		if r.Version != before.Version+1 {
			return fleet.Errorf(fleet.Denied, "cannot follow root %d with root %d: they are not neighbours", before.Version, r.Version)
		}
		if err := r.env.verify("root", before.Keys, before.Roles[RoleRoot]); err != nil {
			return fleet.Errorf(fleet.Denied, "cannot follow root %d with root %d: the old keys do not vouch for it: %w", before.Version, r.Version, err)
		}
	}
	if err := r.env.verify("root", r.Keys, r.Roles[RoleRoot]); err != nil {
		return fleet.Errorf(fleet.Denied, "cannot believe root %d: %w", r.Version, err)
	}
	return nil
}
