// Package backendtest is the one suite that every backend passes: the service
// over SQLite, over PostgreSQL, behind the RPC client, and an agent's local
// service over its cache.
//
// It walks the class table and the method table: a class without a sample, or
// a method without a case, fails it. A case shows that the method changes, or
// reads, what another call put there. The cases of a topic are in a package of
// their own beside this one (depots, hosts, licence, nodes, service); what they
// share is in package bench.
package backendtest

import (
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/depots"
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/hosts"
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/licence"
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/nodes"
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/service"
	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Run runs the suite against a backend whose caller is an administrator. The
// backend's fleet is emptied of the samples' classes.
func Run(t *testing.T, b methods.Backend) {
	used := map[string]bool{}
	hand := bench.All(handCases, paramCases, sequenceCases, untypedCases, auditCases,
		depots.Cases, hosts.Cases, licence.Cases, nodes.Cases, service.Cases)
	accounts := (&bench.Bench{T: t, Backend: b}).HasAccounts()
	for _, class := range fleet.Classes() {
		if class == fleet.Users && accounts { // its rows are people who log in: see package service
			for _, m := range catalog.Table() {
				used[m.Name] = used[m.Name] || m.Class == class
			}
			continue
		}
		if len(bench.Sample(class)) < 2 {
			t.Errorf("class %s has fewer than two samples", class.Name)
			continue
		}
		for _, c := range classCases {
			name := class.Name + "_" + c.method
			used[name] = true
			t.Run(name, func(t *testing.T) { c.run(bench.New(t, b), class) })
		}
		for _, typ := range typesOf(class) {
			m := creatorOf(t, class, typ)
			used[m.Name] = true
			t.Run(m.Name, func(t *testing.T) { createCase(bench.New(t, b), class, typ, m) })
		}
	}
	for _, m := range catalog.Table() {
		if c := hand[m.Name]; c != nil {
			used[m.Name] = true
			t.Run(m.Name, func(t *testing.T) { c(bench.New(t, b)) })
		}
		if !used[m.Name] {
			t.Errorf("method %s has no case", m.Name)
		}
	}
	for name, c := range bench.All(ruleCases, completeRules, auditRules, licence.Rules, hosts.Rules, service.Rules) {
		t.Run(name, func(t *testing.T) { c(bench.New(t, b)) })
	}
}

func typesOf(class *fleet.Class) []string {
	if len(class.Types) == 0 {
		return []string{""}
	}
	return class.Types
}

// creatorOf finds the create method of a type: the one that is neither
// createObjects nor another type's.
func creatorOf(t *testing.T, class *fleet.Class, typ string) *methods.Method {
	want := class.Name + "_create"
	for _, m := range catalog.Table() {
		rest, ok := strings.CutPrefix(m.Name, want)
		if ok && m.Class == class && rest != "Objects" && (typ == "" || len(class.Types) == 1 || strings.HasPrefix(typ, rest) && rest != "") {
			return m
		}
	}
	t.Fatalf("class %s has no create method for %q", class.Name, typ)
	return nil
}

func methodNamed(t *testing.T, name string) *methods.Method {
	for _, m := range catalog.Table() {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no method %s", name)
	return nil
}
