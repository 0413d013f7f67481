package methods

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// Ports are the parts that a server and an agent answer with differently.
type Ports struct {
	// Logs keeps the log files that clients send.
	Logs Logs
	// Info is what backend_info says.
	Info map[string]any
}

// Logs keeps one log a type and object.
type Logs interface {
	Write(logType, object string, data []byte, appendTo bool) error
	Read(logType, object string, maxSize int64) ([]byte, error)
}

// Classes are the bookkeeping of the methods, for [store.Open].
func Classes() []*fleet.Class {
	return []*fleet.Class{replica.Receipts, seatReservations, transferSlots}
}

// Service answers method calls over a store.
type Service struct {
	store *store.Store
	ports Ports
	table map[string]*Method
	names []string
}

// New makes a service with all methods.
func New(s *store.Store, ports Ports) *Service {
	svc := &Service{store: s, ports: ports, table: map[string]*Method{}}
	for _, m := range Table() {
		svc.table[m.Name] = m
		svc.names = append(svc.names, m.Name)
	}
	return svc
}

// Table is the whole method table, sorted by name. It panics on a method
// without access or a name that stands twice: no program starts with one.
func Table() []*Method {
	var all []*Method
	for _, c := range fleet.Classes() {
		all = append(all, classMethods(c)...)
	}
	all = append(all, stateMethods()...)
	all = append(all, productMethods()...)
	all = append(all, serviceMethods()...)
	all = append(all, replicaMethods()...)
	all = append(all, auditMethods()...)
	all = append(all, licensingMethods()...)
	all = append(all, licenseMethods()...)
	all = append(all, wanMethods()...)
	all = append(all, slotMethods()...)
	all = append(all, dependencyMethods()...)
	all = append(all, hostMethods()...)
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

// Call implements [Backend].
func (s *Service) Call(ctx context.Context, actor Actor, name string, p Params) (any, error) {
	m := s.table[name]
	if m == nil {
		hint := ""
		if near, ok := nearest.Suggest(name, s.names); ok {
			hint = fmt.Sprintf(" (did you mean %q?)", near)
		}
		return nil, fleet.Errorf(fleet.NotFound, "cannot call %q: no such method%s", name, hint)
	}
	if !m.Allows(actor.Role) {
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s: not allowed for %s %s", name, actor.Role, actor.ID)
	}
	args, rest, err := m.bind(p)
	if err != nil {
		return nil, err
	}
	return m.call(&Call{Context: ctx, Actor: actor, s: s, m: m, args: args, rest: rest})
}

// NewHostKey makes a host key: 128 random bits in hexadecimal.
func NewHostKey() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
