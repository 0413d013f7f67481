// Package sequence makes an order of actions out of action requests and product
// dependencies.
//
// The rules are opsi's, as its clients expect them:
//
//   - A dependency is one of the product's version on the client's depot, and of
//     one action. It demands an action of another product, or an installation
//     status, from which setup or uninstall follows if the client's differs.
//     What is demanded is added, and its own dependencies in turn.
//   - Of several actions for one product the first of setup, update, always,
//     once, custom, uninstall stands.
//   - The requirement type before or after orders two products whenever both
//     have an action; without a type nothing is ordered.
//   - Products that a before or an after holds together, at any remove, are an
//     action group, and follow each other without others between. A group has
//     the highest priority of its products that is above 0, else the lowest.
//   - Groups go by priority, 100 first, -100 last, and so do products in a
//     group; for an uninstall the priority is negated. Equal ones go by
//     product id.
//
// A dependency is stronger than a priority. Where opsi moves entries about in
// one pass, which leaves long chains wrong, this is a topological sort: every
// before and after holds, always. In its group a product inherits the priority
// of whatever has to wait for it.
//
// Products that wait for each other have no order. They and what waits for them
// are left out and named in the error; the rest can still be worked on.
//
// Server (actionSequence, dependencies of a new request) and agent (what to run
// next from the cache) both call [Order] on rows they hold; the answer does not
// depend on the order of the rows.
package sequence

import (
	"cmp"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Input is what the order depends on, for one client and its depot. Rows of
// netboot products are not looked at.
type Input struct {
	OnClient     []fleet.ProductOnClient // action requests and present status, one row a product
	OnDepot      []fleet.ProductOnDepot  // the versions that count
	Products     []fleet.Product
	Dependencies []fleet.ProductDependency
}

// Step is one action of one product.
type Step struct {
	ProductID      fleet.ProductID
	ProductVersion string // the depot's
	PackageVersion string
	Action         fleet.Action
	Priority       int64 // the product's own, negated for an uninstall
	Requested      bool  // this very action is requested, not only demanded
	RequiredBy     []fleet.ProductID
	Why            string // one sentence
}

// Note tells about an action or a dependency that has no part in the order.
type Note struct {
	ProductID fleet.ProductID
	Action    fleet.Action
	Text      string
}

// Group is an action group, in its order, and the dependencies that hold it
// together.
type Group struct {
	Priority     int64
	Steps        []Step
	Dependencies []fleet.ProductDependency
}

// Plan is the order, first to last, and what was left out.
type Plan struct {
	Steps  []Step
	Groups []Group // the same steps
	Notes  []Note
}

// Order makes the plan. The error is a [*CycleError] for every circle of
// products that wait for each other, joined; the plan then holds what is not
// caught in or behind one. Its code is invalid.
func Order(in Input) (Plan, error) {
	c := newCollection(in)
	c.collect()
	g := newGraph(c)
	order, err := g.sort()

	var plan Plan
	done := map[fleet.ProductID]bool{}
	for _, id := range order {
		done[id] = true
		step := c.step(id)
		plan.Steps = append(plan.Steps, step)
		if last := len(plan.Groups) - 1; last >= 0 && g.group[plan.Groups[last].Steps[0].ProductID] == g.group[id] {
			plan.Groups[last].Steps = append(plan.Groups[last].Steps, step)
		} else {
			plan.Groups = append(plan.Groups, Group{Priority: g.group[id].priority, Steps: []Step{step}, Dependencies: c.binding(g.group[id].members)})
		}
	}
	for id, w := range c.wanted {
		if !done[id] {
			c.note(id, w.action(), "waits for products that wait for each other")
		}
	}
	plan.Notes = slices.SortedFunc(slices.Values(c.notes), func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.ProductID, b.ProductID), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Text, b.Text))
	})
	plan.Notes = slices.Compact(plan.Notes)
	if err != nil {
		err = fleet.WithHint(fleet.Errorf(fleet.Invalid, "%w", err),
			"take a dependency out of one of these products and install it again; products outside the circle are still worked on")
	}
	return plan, err
}

// ranks orders several actions for one product: the first one stands.
var ranks = []fleet.Action{fleet.Setup, fleet.Update, fleet.Always, fleet.Once, fleet.Custom, fleet.Uninstall}
