// Package rounds says what is left to do when a round of product actions has
// ended. Seed A: processing repeats until no action is left.
//
// After a round the plan is made anew: a setup script may have requested another
// product's action, a dependency may have appeared, the server may have set more.
// What is left is then less than the plan, because some of it would never end:
//
//   - An action that failed is not tried again in the same processing, nor is
//     what waits for it. The next event does.
//   - An "always" stays requested for ever; it runs once.
//   - An action that was requested again after it had run runs again, but not more
//     than [Most] times: two products that request each other would keep a machine
//     busy for ever. Then the caller says so, and the rest waits for the next event.
//
// A processing goes on over reboots: what ran before one counts.
package rounds

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// Most is how often one action of one product version runs in one processing.
const Most = 3

// Action names one action of one product version.
type Action struct {
	ProductID      fleet.ProductID
	ProductVersion string
	PackageVersion string
	Action         fleet.Action
}

// Of is a step's action.
func Of(s sequence.Step) Action {
	return Action{s.ProductID, s.ProductVersion, s.PackageVersion, s.Action}
}

// Ran is an action that has ended.
type Ran struct {
	Action
	Failed bool
}

// Needs are the products before a step that were demanded by it.
func Needs(before []sequence.Step, s sequence.Step) []string {
	list := []string{}
	for _, b := range before {
		if slices.Contains(b.RequiredBy, s.ProductID) {
			list = append(list, string(b.ProductID))
		}
	}
	return list
}

// Left are the steps of a plan that are still to be run after what ran. The
// error names those that were requested again and again.
func Left(plan []sequence.Step, ran []Ran) (left []sequence.Step, err error) {
	times, failed := map[Action]int{}, map[Action]bool{}
	for _, r := range ran {
		times[r.Action]++
		failed[r.Action] = r.Failed
	}
	blocked := map[string]bool{}
	var again []string
	for i, s := range plan {
		a := Of(s)
		switch {
		case failed[a], slices.ContainsFunc(Needs(plan[:i], s), func(id string) bool { return blocked[id] }):
			blocked[string(s.ProductID)] = true
		case s.Action == fleet.Always && times[a] > 0:
		case times[a] >= Most:
			again = append(again, fmt.Sprintf("%s of %s", s.Action, s.ProductID))
		default:
			left = append(left, s)
		}
	}
	if len(again) > 0 {
		err = fleet.WithHint(fleet.Errorf(fleet.Conflict, "processing does not come to an end: requested again after it ran %d times: %s", Most, strings.Join(again, ", ")),
			"scripts request each other's products; what is left waits for the next event")
	}
	return left, err
}
