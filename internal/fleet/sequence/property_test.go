package sequence_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// drawInput makes a small depot with arbitrary dependencies. Without circles a
// product may only wait for later ones.
func drawInput(t *rapid.T, circles bool) sequence.Input {
	n := rapid.IntRange(1, 8).Draw(t, "products")
	id := func(i int) fleet.ProductID { return fleet.ProductID(fmt.Sprintf("p%d", i)) }
	actions := []fleet.Action{fleet.Setup, fleet.Update, fleet.Custom, fleet.Uninstall}
	var in sequence.Input
	for i := range n {
		in.Products = append(in.Products, fleet.Product{ID: id(i), ProductVersion: "1", PackageVersion: "1",
			Priority:    rapid.Int64Range(-2, 2).Draw(t, "priority"),
			SetupScript: "s", UpdateScript: "s", UninstallScript: "s", CustomScript: rapid.SampledFrom([]string{"", "s"}).Draw(t, "custom")})
		in.OnDepot = append(in.OnDepot, fleet.ProductOnDepot{ProductID: id(i), ProductVersion: "1", PackageVersion: "1"})
		in.OnClient = append(in.OnClient, fleet.ProductOnClient{ProductID: id(i),
			ActionRequest:      rapid.SampledFrom(append(actions, fleet.None, fleet.None)).Draw(t, "request"),
			InstallationStatus: rapid.SampledFrom([]string{"", fleet.Installed, fleet.Unknown}).Draw(t, "status")})
	}
	seen := map[[2]any]bool{}
	for range rapid.IntRange(0, 12).Draw(t, "dependencies") {
		first, then := rapid.IntRange(0, n-1).Draw(t, "first"), rapid.IntRange(0, n-1).Draw(t, "then")
		if !circles {
			if first == then {
				continue
			}
			first, then = min(first, then), max(first, then)
		}
		d := fleet.ProductDependency{ProductID: id(then), ProductVersion: "1", PackageVersion: "1", RequiredProductID: id(first), RequirementType: "before",
			ProductAction: rapid.SampledFrom(actions).Draw(t, "action")}
		if rapid.Bool().Draw(t, "after") {
			d.ProductID, d.RequiredProductID, d.RequirementType = id(first), id(then), "after"
		}
		if rapid.Bool().Draw(t, "by status") {
			d.RequiredInstallationStatus = rapid.SampledFrom([]string{fleet.Installed, fleet.NotInstalled}).Draw(t, "required status")
		} else {
			d.RequiredAction = rapid.SampledFrom(actions).Draw(t, "required action")
		}
		key := [2]any{d.ProductID, [2]any{d.ProductAction, d.RequiredProductID}}
		if !seen[key] {
			seen[key] = true
			in.Dependencies = append(in.Dependencies, d)
		}
	}
	return in
}

// checkOrder fails if a before or after of the plan's own actions is broken.
func checkOrder(t *rapid.T, in sequence.Input, plan sequence.Plan) {
	at := map[fleet.ProductID]int{}
	action := map[fleet.ProductID]fleet.Action{}
	for i, s := range plan.Steps {
		if _, twice := at[s.ProductID]; twice {
			t.Fatalf("%s stands twice", s.ProductID)
		}
		if s.Why == "" {
			t.Fatalf("%s has no reason", s.ProductID)
		}
		at[s.ProductID], action[s.ProductID] = i, s.Action
	}
	for _, d := range in.Dependencies {
		mine, ok := at[d.ProductID]
		other, there := at[d.RequiredProductID]
		if !ok || !there || action[d.ProductID] != d.ProductAction {
			continue
		}
		if d.RequirementType == "before" && other >= mine || d.RequirementType == "after" && other <= mine {
			t.Fatalf("%s %s %s is broken:\n%s", d.RequiredProductID, d.RequirementType, d.ProductID, brief(plan))
		}
	}
}

func TestOrder_HonoursEveryEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t, false)
		plan, err := sequence.Order(in)
		if err != nil {
			t.Fatalf("a circle where there is none: %v", err)
		}
		checkOrder(t, in, plan)
		for _, p := range in.OnClient {
			if p.ActionRequest == fleet.None || p.ActionRequest == fleet.Custom {
				continue
			}
			if !slices.ContainsFunc(plan.Steps, func(s sequence.Step) bool { return s.ProductID == p.ProductID }) {
				t.Fatalf("%s was requested and is not in the plan:\n%s", p.ProductID, brief(plan))
			}
		}
	})
}

func TestOrder_InputOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t, true)
		want, wantErr := sequence.Order(in)
		checkOrder(t, in, want)
		mixed := sequence.Input{
			OnClient:     rapid.Permutation(in.OnClient).Draw(t, "onClient"),
			OnDepot:      rapid.Permutation(in.OnDepot).Draw(t, "onDepot"),
			Products:     rapid.Permutation(in.Products).Draw(t, "mixed products"),
			Dependencies: rapid.Permutation(in.Dependencies).Draw(t, "mixed dependencies"),
		}
		got, err := sequence.Order(mixed)
		if diff := gocmp.Diff(want, got); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%v, %v\n%s", wantErr, err, diff)
		}
	})
}

// Taking the first step away, as done, must not change the order of the rest
// when nothing depends on it: an agent asks again after every reboot.
func TestOrder_Stable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t, false)
		in.Dependencies = slices.DeleteFunc(in.Dependencies, func(d fleet.ProductDependency) bool { return d.RequirementType == "after" })
		plan, err := sequence.Order(in)
		if err != nil || len(plan.Steps) < 2 || !plan.Steps[0].Requested || len(plan.Steps[0].RequiredBy) > 0 {
			return
		}
		first := plan.Steps[0].ProductID
		if slices.ContainsFunc(in.Dependencies, func(d fleet.ProductDependency) bool {
			return d.ProductID == first || d.RequiredProductID == first
		}) {
			return
		}
		for i := range in.OnClient {
			if in.OnClient[i].ProductID == first {
				in.OnClient[i].ActionRequest = fleet.None
			}
		}
		rest, err := sequence.Order(in)
		if diff := gocmp.Diff(plan.Steps[1:], rest.Steps); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

// Groups are the plan's steps in their order; what a before or an after holds
// together is in one, and nothing else; groups go by priority.
func TestOrder_Groups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t, false)
		plan, err := sequence.Order(in)
		if err != nil {
			t.Fatal(err)
		}
		var flat []sequence.Step
		group := map[fleet.ProductID]int{}
		for n, g := range plan.Groups {
			flat = append(flat, g.Steps...)
			var highest, lowest int64
			for _, s := range g.Steps {
				group[s.ProductID] = n
				highest, lowest = max(highest, s.Priority), min(lowest, s.Priority)
			}
			if want := cmp.Or(highest, lowest); g.Priority != want {
				t.Fatalf("group %d has priority %d, want %d", n, g.Priority, want)
			}
			if n > 0 && plan.Groups[n-1].Priority < g.Priority {
				t.Fatalf("group %d of priority %d stands behind one of %d", n, g.Priority, plan.Groups[n-1].Priority)
			}
		}
		if diff := gocmp.Diff(plan.Steps, flat); diff != "" {
			t.Fatalf("groups are not the steps:\n%s", diff)
		}
		// Naively: products are joined until nothing more joins.
		joined := map[fleet.ProductID]fleet.ProductID{}
		action := map[fleet.ProductID]fleet.Action{}
		for _, s := range plan.Steps {
			joined[s.ProductID], action[s.ProductID] = s.ProductID, s.Action
		}
		for range plan.Steps {
			for _, d := range in.Dependencies {
				if d.RequirementType == "" || action[d.ProductID] != d.ProductAction || action[d.RequiredProductID] == "" {
					continue
				}
				least := min(joined[d.ProductID], joined[d.RequiredProductID])
				joined[d.ProductID], joined[d.RequiredProductID] = least, least
			}
		}
		for a := range group {
			for b := range group {
				if (group[a] == group[b]) != (joined[a] == joined[b]) {
					t.Fatalf("%s and %s: in one group %v, held together %v", a, b, group[a] == group[b], joined[a] == joined[b])
				}
			}
		}
	})
}
