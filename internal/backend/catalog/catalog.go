// Package catalog is the method table as a whole: the methods of the classes and
// every group that is written by hand. Server and agent make their service
// here; whoever only wants to know what can be called reads [Table].
package catalog

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/about"
	"github.com/fernwerk/fernwerk/internal/backend/methods/account"
	"github.com/fernwerk/fernwerk/internal/backend/methods/content"
	"github.com/fernwerk/fernwerk/internal/backend/methods/credential"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/methods/feeds"
	"github.com/fernwerk/fernwerk/internal/backend/methods/fleetwide"
	"github.com/fernwerk/fernwerk/internal/backend/methods/hostcontrol"
	"github.com/fernwerk/fernwerk/internal/backend/methods/hosts"
	"github.com/fernwerk/fernwerk/internal/backend/methods/inventory"
	"github.com/fernwerk/fernwerk/internal/backend/methods/joining"
	"github.com/fernwerk/fernwerk/internal/backend/methods/journal"
	"github.com/fernwerk/fernwerk/internal/backend/methods/licence"
	"github.com/fernwerk/fernwerk/internal/backend/methods/mesh"
	"github.com/fernwerk/fernwerk/internal/backend/methods/nodefiles"
	"github.com/fernwerk/fernwerk/internal/backend/methods/nodes"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/methods/products"
	"github.com/fernwerk/fernwerk/internal/backend/methods/resources"
	"github.com/fernwerk/fernwerk/internal/backend/methods/tunnels"
	"github.com/fernwerk/fernwerk/internal/backend/methods/updates"
	"github.com/fernwerk/fernwerk/internal/backend/methods/workingcopy"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func groups() []methods.Group {
	return []methods.Group{
		about.Group(),
		account.Group(),
		content.Group(),
		credential.Group(),
		depots.Group(),
		feeds.Group(),
		fleetwide.Group(),
		hostcontrol.Group(),
		hosts.Group(),
		inventory.Group(),
		joining.Group(),
		journal.Group(),
		licence.Group(),
		nodefiles.Group(),
		nodes.Group(),
		tunnels.Group(),
		mesh.Group(),
		params.Group(),
		products.Group(),
		resources.Group(),
		updates.Group(),
		workingcopy.Group(),
	}
}

// New makes a service with all methods over a store that was opened with
// [Classes].
func New(s *store.Store, ports methods.Ports) *methods.Service {
	return methods.New(s, ports, groups()...)
}

// Table is the whole method table, sorted by name.
func Table() []*methods.Method { return methods.Table(groups()...) }

// Classes are the bookkeeping of the methods, for [store.Open].
func Classes() []*fleet.Class {
	var all []*fleet.Class
	for _, g := range groups() {
		all = append(all, g.Classes...)
	}
	return all
}
