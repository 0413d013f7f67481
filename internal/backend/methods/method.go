package methods

import (
	"context"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/scope"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Param is one parameter of a method.
type Param struct {
	Name     string
	Optional bool
	Default  any  // of an optional parameter that is not given, or null
	Rest     bool // "**": takes all further named arguments, as filters do
}

func (p Param) String() string {
	switch {
	case p.Rest:
		return "**" + p.Name
	case p.Optional:
		return "*" + p.Name
	}
	return p.Name
}

// Method is one row of the table.
type Method struct {
	Name   string
	Params []Param
	Roles  []Role // who may call it; administrators always may
	Doc    string
	Class  *fleet.Class // of the generated methods
	Writes bool
	// Deprecated methods are opsi's own former ones, which its administrators'
	// scripts still call; Instead names what replaced it, if one method does.
	Deprecated bool
	Instead    string
	Do         func(*Call) (any, error)
}

// Allows tells whether a role may call the method at all. What a host may see
// and write is narrowed further, to itself.
func (m *Method) Allows(r Role) bool { return r == Administrator || slices.Contains(m.Roles, r) }

// Call is one call being answered.
type Call struct {
	Context context.Context
	Actor   Actor
	s       *Service
	Method  *Method
	Args    map[string]any // by parameter
	Rest    map[string]any // what the parameter with ** takes

	serverIDs map[string]bool // see servers
	scopeOf   *store.Tx       // see scope
	bound     *scope.Scope
}

// Ports are what the service answers with.
func (c *Call) Ports() Ports { return c.s.ports }

// bind matches arguments with parameters, as opsi does: by position, then by
// name; a mapping behind the last positional argument holds the filter.
func (m *Method) bind(p Params) (args, rest map[string]any, err error) {
	args, rest = map[string]any{}, map[string]any{}
	hasRest := len(m.Params) > 0 && m.Params[len(m.Params)-1].Rest
	plain := m.Params
	if hasRest {
		plain = m.Params[:len(m.Params)-1]
	}
	positional := p.Positional
	if n := len(positional); hasRest && n > 0 {
		if filter, ok := asMap(positional[n-1]); ok {
			rest, positional = filter, positional[:n-1]
		}
	}
	if len(positional) > len(plain) {
		return nil, nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %d arguments, it takes %d (%s)", m.Name, len(positional), len(plain), m.Signature())
	}
	for i, v := range positional {
		args[plain[i].Name] = v
	}
	for name, v := range p.Named {
		i := slices.IndexFunc(plain, func(q Param) bool { return q.Name == name })
		switch {
		case i >= 0:
			args[name] = v
		case hasRest:
			if filter, ok := asMap(v); ok && name == m.Params[len(m.Params)-1].Name {
				for k, fv := range filter {
					rest[k] = fv
				}
				continue
			}
			rest[name] = v
		default:
			return nil, nil, fleet.Errorf(fleet.Invalid, "cannot call %s: no parameter %q (%s)", m.Name, name, m.Signature())
		}
	}
	for _, q := range plain {
		if args[q.Name] != nil {
			continue
		}
		if q.Default != nil {
			args[q.Name] = q.Default
		}
		if !q.Optional {
			return nil, nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s is missing (%s)", m.Name, q.Name, m.Signature())
		}
	}
	return args, rest, nil
}

func asMap(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case fleet.Row:
		return v, true
	case fleet.Filter:
		return v, true
	}
	return nil, false
}

// Signature is the method as one would call it.
func (m *Method) Signature() string {
	names := make([]string, len(m.Params))
	for i, p := range m.Params {
		names[i] = p.String()
	}
	return m.Name + "(" + strings.Join(names, ", ") + ")"
}

// Text is a string argument, "" if it is not given.
func (c *Call) Text(name string) (string, error) {
	switch v := c.Args[name].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s wants text", c.Method.Name, name)
}

// Texts is a list of strings; one string is a list of one.
func (c *Call) Texts(name string) ([]string, error) {
	switch v := c.Args[name].(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []string:
		return v, nil
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s wants texts", c.Method.Name, name)
			}
			out[i] = s
		}
		return out, nil
	}
	return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s wants a list of texts", c.Method.Name, name)
}

// Flag is a boolean argument with a default, in the forms that opsi's clients
// send: true, "true", 1.
func (c *Call) Flag(name string, def bool) bool {
	if v, err := fleet.Truth(c.Args[name]); err == nil {
		return v
	}
	return def
}

// Rows is an argument of one object or a list of them.
func (c *Call) Rows(name string) ([]fleet.Row, error) {
	list, ok := c.Args[name].([]any)
	if rows, isRows := c.Args[name].([]fleet.Row); isRows {
		return rows, nil
	}
	if !ok {
		list = []any{c.Args[name]}
	}
	out := make([]fleet.Row, len(list))
	for i, v := range list {
		m, ok := asMap(v)
		if !ok {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s wants objects, not %T", c.Method.Name, name, v)
		}
		out[i] = fleet.Row(m)
	}
	return out, nil
}

func (c *Call) Origin() store.Origin {
	return store.Origin{Source: store.Local, Actor: string(c.Actor.Role) + " " + c.Actor.ID, Address: c.Actor.Address, Request: c.Actor.Request}
}

func (c *Call) View(fn func(*store.Tx) error) error { return c.s.store.View(c.Context, fn) }

func (c *Call) Update(fn func(*store.Tx) error) error {
	return c.s.store.Update(c.Context, c.Origin(), c.fenced(c.guarded(fn)))
}

func (c *Call) guarded(fn func(*store.Tx) error) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		guard, err := c.guard(tx)
		if err != nil {
			return err
		}
		tx.Guard(guard)
		return fn(tx)
	}
}

// Ask calls another method of the same service for the same caller, who sees no
// more of it than by a call of his own. It is not the same transaction.
func (c *Call) Ask(method string, args ...any) (any, error) {
	return c.s.Call(c.Context, c.Actor, method, Pos(args...))
}

// HostID is a host's name as the store has it.
func HostID(name string) (string, error) {
	id := strings.ToLower(name)
	return id, fleet.ValidHostID(id)
}

// HostIDs are the hosts that an argument names: at least one, each by its whole
// name.
func (c *Call) HostIDs(name string) ([]string, error) {
	ids, err := c.Texts(name)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s names no host", c.Method.Name, name)
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		if out[i], err = HostID(id); err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
		}
	}
	return out, nil
}

// UpdateAt is Update, and says where in the history the change stands.
func (c *Call) UpdateAt(fn func(*store.Tx) error) (store.Position, error) {
	return c.s.store.UpdateAt(c.Context, c.Origin(), c.fenced(c.guarded(fn)))
}

// Table is what can be called, sorted by name.
func (c *Call) Table() []*Method {
	out := make([]*Method, len(c.s.names))
	for i, name := range c.s.names {
		out[i] = c.s.table[name]
	}
	return out
}

// Class finds a class that the service keeps rows of; nil if it keeps none.
func (c *Call) Class(name string) *fleet.Class { return c.s.store.Class(name) }

// Classes are all that the service keeps rows of.
func (c *Call) Classes() []*fleet.Class {
	all := fleet.Classes()
	for _, g := range c.s.groups {
		all = append(all, g.Classes...)
	}
	return all
}
