package methods

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// Group is a part of the method table that is written by hand, in a package of
// its own.
type Group struct {
	Methods []*Method
	// Guard refuses what an actor may not write although the row is its own;
	// nil refuses nothing.
	Guard func(c *Call, tx *store.Tx, class *fleet.Class, r fleet.Row) error
	// Classes are the group's own bookkeeping, for [store.Open].
	Classes []*fleet.Class
	// Absent are methods of opsi that are not here, each with the reason.
	Absent map[string]string
}

// Service answers method calls over a store.
type Service struct {
	store  *store.Store
	ports  Ports
	table  map[string]*Method
	names  []string
	groups []Group
}

// New makes a service with the methods of all classes, the basic ones, and
// those of the groups.
func New(s *store.Store, ports Ports, groups ...Group) *Service {
	svc := &Service{store: s, ports: ports, table: map[string]*Method{}, groups: groups}
	for _, m := range Table(groups...) {
		svc.table[m.Name] = m
		svc.names = append(svc.names, m.Name)
	}
	return svc
}

// Table is the method table, sorted by name. It panics on a method without
// access or a name that stands twice: no program starts with one.
func Table(groups ...Group) []*Method {
	var all []*Method
	for _, c := range fleet.Classes() {
		all = append(all, classMethods(c)...)
	}
	for _, g := range groups {
		all = append(all, g.Methods...)
	}
	slices.SortFunc(all, func(a, b *Method) int { return strings.Compare(a.Name, b.Name) })
	for i, m := range all {
		if m.Roles == nil {
			panic("methods: " + m.Name + " says nothing about access")
		}
		if i > 0 && all[i-1].Name == m.Name {
			panic("methods: " + m.Name + " stands twice")
		}
	}
	return all
}

// Part makes a service of some rows of a table, which must not need a store: what
// a server can answer that has no rows.
func Part(ports Ports, table []*Method, answers func(*Method) bool) *Service {
	svc := &Service{ports: ports, table: map[string]*Method{}}
	for _, m := range table {
		if answers(m) {
			svc.table[m.Name] = m
			svc.names = append(svc.names, m.Name)
		}
	}
	return svc
}

// Call implements [Backend].
func (s *Service) Call(ctx context.Context, actor Actor, name string, p Params) (any, error) {
	return collect(s.Stream(ctx, actor, name, p))
}

// Stream implements [Streamer].
func (s *Service) Stream(ctx context.Context, actor Actor, name string, p Params) (any, error) {
	m := s.table[name]
	if m == nil {
		return nil, fleet.WithClass(s.unknown(name), "ValueError") // by which opsi's clients know it
	}
	if !m.Allows(actor.Role) {
		if s.ports.Accounts != nil {
			s.ports.Accounts.Refused(actor, name)
		}
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s: not allowed for %s %s", name, actor.Role, actor.ID)
	}
	args, rest, err := m.bind(p)
	if err != nil {
		return nil, err
	}
	c := &Call{Context: ctx, Actor: actor, s: s, Method: m, Args: args, Rest: rest}
	if err := c.mayName(); err != nil {
		return nil, err
	}
	return m.Do(c)
}

func (s *Service) unknown(name string) error {
	for _, g := range s.groups {
		if why := g.Absent[name]; why != "" {
			return fleet.Errorf(fleet.NotHere, "cannot call %s: not supported: %s", name, why)
		}
	}
	hint := ""
	if near, ok := nearest.Suggest(name, s.names); ok {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fleet.Errorf(fleet.NotFound, "cannot call %q: no such method%s", name, hint)
}

// NewHostKey makes a host key: 128 random bits in hexadecimal.
func NewHostKey() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
