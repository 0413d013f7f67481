package trust

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Target is one thing that may be believed, by its length and digest.
type Target struct {
	Length int64
	SHA256 [32]byte
	// Custom is canonical JSON, an object, or empty. Of a product it is made by
	// [Scripts.Custom].
	Custom json.RawMessage
}

// TargetOf is the target that some content is.
func TargetOf(content []byte) Target {
	return Target{Length: int64(len(content)), SHA256: sha256.Sum256(content)}
}

// Check compares content with the target.
func (t Target) Check(content []byte) error {
	switch sum := sha256.Sum256(content); {
	case int64(len(content)) != t.Length:
		return fleet.Errorf(fleet.Denied, "it has %d bytes, and %d are signed", len(content), t.Length)
	case sum != t.SHA256:
		return fleet.Errorf(fleet.Denied, "its digest is %x, and %x is signed", sum, t.SHA256)
	}
	return nil
}

// Delegation gives a part of the names away to keys of another role.
type Delegation struct {
	Name string
	Role
	Paths       []string // patterns as of path.Match: a * stays between two slashes
	Terminating bool     // a name of the paths is looked for nowhere else
}

// DepotPaths are the names that the role [Depot] may speak of: those of
// [DepotName]. TUF's patterns match part by part.
var DepotPaths = []string{"depot/*/product/*/*/*"}

// Targets is the list of what may be believed; also of a delegated role, which
// delegates nothing further.
type Targets struct {
	Header
	Targets     map[string]Target
	Keys        Keys         // of the delegations
	Delegations []Delegation // in the order in which they are asked
	env         *envelope
}

var delegatedName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// ParseTargets reads the list of the role "targets" or of a delegated one; it does
// not verify its signatures.
func ParseTargets(role string, data []byte) (*Targets, error) {
	if role != RoleTargets && (!delegatedName.MatchString(role) || slices.Contains(topRoles, role)) {
		return nil, fleet.Errorf(fleet.Invalid, "%q is no role of targets", clip(role))
	}
	env, d, h, err := open(role, data)
	if err != nil {
		return nil, err
	}
	t := &Targets{Header: h, Targets: map[string]Target{}, env: env}
	for name, v := range d.object("targets", d.body["targets"]) {
		o := d.object("targets", v)
		target := Target{Length: d.number("length", o["length"]), SHA256: d.hash(o["hashes"])}
		if custom, ok := o["custom"]; ok && d.err == nil {
			target.Custom, d.err = appendCanonical(nil, d.object("custom", custom))
		}
		t.Targets[name] = target
	}
	if v, ok := d.body["delegations"]; ok {
		d.delegations(t, v)
		if role != RoleTargets {
			d.fail("a delegated role cannot delegate further")
		}
	}
	if d.err == nil {
		d.err = t.check()
	}
	if d.err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the list of the role %s: %w", role, d.err)
	}
	return t, nil
}

func (d *decoder) delegations(t *Targets, v any) {
	o := d.object("delegations", v)
	if _, ok := o["succinct_roles"]; ok {
		d.fail("it delegates to bins, which is not supported")
	}
	t.Keys = d.keys(o["keys"])
	roles, ok := o["roles"]
	if !ok {
		return
	}
	for _, v := range d.list("roles", roles) {
		o := d.object("roles", v)
		if _, ok := o["path_hash_prefixes"]; ok {
			d.fail("it delegates by digests of names, which is not supported")
		}
		g := Delegation{Name: d.text("name", o["name"])}
		g.Role = d.role(g.Name, o, t.Keys)
		for _, v := range d.list("paths", o["paths"]) {
			g.Paths = append(g.Paths, d.text("paths", v))
		}
		if g.Terminating, ok = o["terminating"].(bool); !ok {
			d.fail("a delegation does not say whether it is the end")
		}
		t.Delegations = append(t.Delegations, g)
	}
}

// Raw is the document as it came, with its signatures.
func (t *Targets) Raw() []byte { return t.env.raw }

func (t *Targets) kind() string    { return RoleTargets }
func (t *Targets) header() *Header { return &t.Header }

func (t *Targets) check() error {
	for name, target := range t.Targets {
		if name == "" || len(name) > 1024 || path.Clean("/"+name) != "/"+name || strings.Contains(name, `\`) {
			return fmt.Errorf("%q is no name of a target", clip(name))
		}
		if target.Length < 0 {
			return fmt.Errorf("%s has the length %d", clip(name), target.Length)
		}
		if len(target.Custom) > 0 {
			if o, err := canonical(target.Custom); err != nil || o == nil {
				return fmt.Errorf("what %s says of itself is no object in canonical JSON", clip(name))
			}
		}
	}
	for i, g := range t.Delegations {
		if !delegatedName.MatchString(g.Name) || slices.Contains(topRoles, g.Name) {
			return fmt.Errorf("%q cannot be delegated to", clip(g.Name))
		}
		if slices.ContainsFunc(t.Delegations[:i], func(o Delegation) bool { return o.Name == g.Name }) {
			return fmt.Errorf("it delegates to %s twice", g.Name)
		}
		if err := g.Role.check(t.Keys); err != nil {
			return fmt.Errorf("the role %s: %w", g.Name, err)
		}
		for _, pattern := range g.Paths {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				return fmt.Errorf("%q is no pattern of names", clip(pattern))
			}
		}
		if len(g.Paths) == 0 {
			return errors.New("a delegation has no paths")
		}
	}
	return t.checkHeader()
}

func (t *Targets) encode() (map[string]any, error) {
	targets := map[string]any{}
	for name, target := range t.Targets {
		o := map[string]any{"length": target.Length, "hashes": encodeHash(target.SHA256)}
		if len(target.Custom) > 0 {
			o["custom"] = target.Custom
		}
		targets[name] = o
	}
	out := map[string]any{"targets": targets}
	if len(t.Delegations) == 0 {
		return out, nil
	}
	roles := []any{}
	for _, g := range t.Delegations {
		o := g.Role.encode()
		paths := make([]any, len(g.Paths))
		for i, p := range g.Paths {
			paths[i] = p
		}
		o["name"], o["paths"], o["terminating"] = g.Name, paths, g.Terminating
		roles = append(roles, o)
	}
	out["delegations"] = map[string]any{"keys": t.Keys.encode(), "roles": roles}
	return out, nil
}

// Delegation is the one to a role.
func (t *Targets) Delegation(role string) (Delegation, bool) {
	i := slices.IndexFunc(t.Delegations, func(g Delegation) bool { return g.Name == role })
	if i < 0 {
		return Delegation{}, false
	}
	return t.Delegations[i], true
}

// Covers says whether a name is among those that are given away.
func (g Delegation) Covers(name string) bool {
	return slices.ContainsFunc(g.Paths, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}
