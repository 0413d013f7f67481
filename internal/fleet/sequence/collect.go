package sequence

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// task is an action of a product.
type task struct {
	product fleet.ProductID
	action  fleet.Action
}

// want is what one product has to do, and who says so.
type want struct {
	requested map[fleet.Action]bool
	by        map[fleet.Action]map[fleet.ProductID]bool
}

// action is the one that stands.
func (w *want) action() fleet.Action {
	for _, a := range ranks {
		if w.requested[a] || len(w.by[a]) > 0 {
			return a
		}
	}
	return fleet.None
}

// collection is everything that has to be done, requested or demanded.
type collection struct {
	onClient map[fleet.ProductID]fleet.ProductOnClient
	products map[fleet.ProductID]fleet.Product // in the depot's version
	deps     map[task][]fleet.ProductDependency
	wanted   map[fleet.ProductID]*want
	notes    []Note

	todo []task
}

func newCollection(in Input) *collection {
	c := &collection{
		onClient: map[fleet.ProductID]fleet.ProductOnClient{},
		products: map[fleet.ProductID]fleet.Product{},
		deps:     map[task][]fleet.ProductDependency{},
		wanted:   map[fleet.ProductID]*want{},
	}
	type version struct {
		id            fleet.ProductID
		product, pack string
	}
	depot := map[version]bool{}
	for _, p := range in.OnDepot {
		if local(p.ProductType) {
			depot[version{p.ProductID, p.ProductVersion, p.PackageVersion}] = true
		}
	}
	for _, p := range in.Products {
		if !local(p.Type) || !depot[version{p.ID, p.ProductVersion, p.PackageVersion}] {
			continue
		}
		// A depot has one version; should the rows hold two, the same one counts
		// whichever comes first.
		if have, ok := c.products[p.ID]; !ok || compareVersions(p, have) > 0 {
			c.products[p.ID] = p
		}
	}
	for _, d := range in.Dependencies {
		p, ok := c.products[d.ProductID]
		if ok && p.ProductVersion == d.ProductVersion && p.PackageVersion == d.PackageVersion {
			t := task{d.ProductID, d.ProductAction}
			c.deps[t] = append(c.deps[t], d)
		}
	}
	for _, p := range in.OnClient {
		if !local(p.ProductType) {
			continue
		}
		c.onClient[p.ProductID] = p
		if p.ActionRequest != fleet.None && p.ActionRequest != "" && c.possible(p.ProductID, p.ActionRequest) {
			w := c.want(p.ProductID)
			w.requested[p.ActionRequest] = true
			c.todo = append(c.todo, task{p.ProductID, p.ActionRequest})
		}
	}
	return c
}

func local(productType string) bool {
	return productType == "" || productType == fleet.LocalbootProduct
}

func compareVersions(a, b fleet.Product) int {
	return cmp.Or(strings.Compare(a.ProductVersion, b.ProductVersion), strings.Compare(a.PackageVersion, b.PackageVersion))
}

// collect follows dependencies until nothing new is demanded. Every action
// reached counts, also one that does not stand in the end: otherwise the answer
// could depend on where one begins.
func (c *collection) collect() {
	seen := map[task]bool{}
	for len(c.todo) > 0 {
		t := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		if seen[t] {
			continue
		}
		seen[t] = true
		for _, d := range c.deps[t] {
			action := c.demanded(d)
			if action == fleet.None {
				continue
			}
			w := c.want(d.RequiredProductID)
			if w.by[action] == nil {
				w.by[action] = map[fleet.ProductID]bool{}
			}
			w.by[action][d.ProductID] = true
			c.todo = append(c.todo, task{d.RequiredProductID, action})
		}
	}
}

// demanded is the action that a dependency asks for: None if it is fulfilled,
// or cannot be, which is noted.
func (c *collection) demanded(d fleet.ProductDependency) fleet.Action {
	action := d.RequiredAction
	if action == "" || action == fleet.None {
		if action = c.towards(d); action == fleet.None {
			return fleet.None
		}
	}
	p, ok := c.products[d.RequiredProductID]
	var missing string
	switch {
	case !ok:
		missing = "which is not on the depot"
	case d.RequiredProductVersion != "" && d.RequiredProductVersion != p.ProductVersion,
		d.RequiredPackageVersion != "" && d.RequiredPackageVersion != p.PackageVersion:
		missing = fmt.Sprintf("in a version that is not on the depot, which has %s-%s", p.ProductVersion, p.PackageVersion)
	case p.Script(action) == "":
		missing = "which has no script for it"
	default:
		return action
	}
	c.note(d.ProductID, d.ProductAction, fmt.Sprintf("needs %s of %s, %s", action, d.RequiredProductID, missing))
	return fleet.None
}

// towards is the action that leads to the status that a dependency asks for.
func (c *collection) towards(d fleet.ProductDependency) fleet.Action {
	have := c.onClient[d.RequiredProductID]
	status := cmp.Or(have.InstallationStatus, fleet.NotInstalled)
	switch d.RequiredInstallationStatus {
	case fleet.Installed:
		right := status == fleet.Installed &&
			(d.RequiredProductVersion == "" || d.RequiredProductVersion == have.ProductVersion) &&
			(d.RequiredPackageVersion == "" || d.RequiredPackageVersion == have.PackageVersion)
		// What is about to be removed does not count as installed.
		if !right || have.ActionRequest == fleet.Uninstall {
			return fleet.Setup
		}
	case fleet.NotInstalled:
		if status != fleet.NotInstalled {
			return fleet.Uninstall
		}
	}
	return fleet.None
}

// possible tells whether a requested action can be run at all.
func (c *collection) possible(id fleet.ProductID, a fleet.Action) bool {
	p, ok := c.products[id]
	switch {
	case !ok:
		c.note(id, a, "is requested, but the product is not on the depot")
	case p.Script(a) == "":
		c.note(id, a, "is requested, but the product has no script for it")
	default:
		return true
	}
	return false
}

func (c *collection) note(id fleet.ProductID, a fleet.Action, text string) {
	c.notes = append(c.notes, Note{id, a, text})
}

func (c *collection) want(id fleet.ProductID) *want {
	w, ok := c.wanted[id]
	if !ok {
		w = &want{requested: map[fleet.Action]bool{}, by: map[fleet.Action]map[fleet.ProductID]bool{}}
		c.wanted[id] = w
	}
	return w
}

// binding are the dependencies that order the products.
func (c *collection) binding(products []fleet.ProductID) []fleet.ProductDependency {
	var out []fleet.ProductDependency
	for _, id := range products {
		for _, d := range c.deps[task{id, c.wanted[id].action()}] {
			if d.RequirementType != "" && c.wanted[d.RequiredProductID] != nil {
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b fleet.ProductDependency) int {
		return cmp.Or(cmp.Compare(a.ProductID, b.ProductID), cmp.Compare(a.RequiredProductID, b.RequiredProductID))
	})
	return out
}

func (c *collection) priority(id fleet.ProductID) int64 {
	if c.wanted[id].action() == fleet.Uninstall {
		return -c.products[id].Priority
	}
	return c.products[id].Priority
}

func (c *collection) step(id fleet.ProductID) Step {
	w, p := c.wanted[id], c.products[id]
	a := w.action()
	s := Step{
		ProductID: id, ProductVersion: p.ProductVersion, PackageVersion: p.PackageVersion,
		Action: a, Priority: c.priority(id), Requested: w.requested[a],
		RequiredBy: slices.Sorted(maps.Keys(w.by[a])),
	}
	var why []string
	if s.Requested {
		why = append(why, fmt.Sprintf("%s is requested", a))
	}
	if len(s.RequiredBy) > 0 {
		why = append(why, fmt.Sprintf("%s is required by %s", a, join(s.RequiredBy, ", ")))
	}
	for _, other := range ranks {
		if other != a && (w.requested[other] || len(w.by[other]) > 0) {
			why = append(why, fmt.Sprintf("it goes before %s, which is dropped", other))
		}
	}
	s.Why = strings.Join(why, "; ")
	return s
}

func join(ids []fleet.ProductID, sep string) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(string(id))
	}
	return b.String()
}
