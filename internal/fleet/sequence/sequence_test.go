package sequence_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// world builds an Input from short lines:
//
//	product ID PRIORITY             on the depot, with all scripts
//	request ID ACTION
//	status ID STATUS VERSION
//	need ID ACTION -> ID DEMAND [before|after]   demand: an action or =status[@version]
func world(t testing.TB, lines ...string) sequence.Input {
	t.Helper()
	var in sequence.Input
	client := map[fleet.ProductID]*fleet.ProductOnClient{}
	state := func(id string) *fleet.ProductOnClient {
		p := fleet.ProductID(id)
		if client[p] == nil {
			client[p] = &fleet.ProductOnClient{ProductID: p, ProductType: fleet.LocalbootProduct, ActionRequest: fleet.None}
		}
		return client[p]
	}
	for _, line := range lines {
		f := strings.Fields(line)
		switch f[0] {
		case "product":
			p := fleet.Product{ID: fleet.ProductID(f[1]), ProductVersion: "1", PackageVersion: "1",
				SetupScript: "s", UpdateScript: "s", AlwaysScript: "s", OnceScript: "s", CustomScript: "s", UninstallScript: "s"}
			if _, err := fmt.Sscan(f[2], &p.Priority); err != nil {
				t.Fatal(err)
			}
			in.Products = append(in.Products, p)
			in.OnDepot = append(in.OnDepot, fleet.ProductOnDepot{ProductID: p.ID, ProductVersion: "1", PackageVersion: "1"})
		case "request":
			state(f[1]).ActionRequest = fleet.Action(f[2])
		case "status":
			state(f[1]).InstallationStatus, state(f[1]).ProductVersion, state(f[1]).PackageVersion = f[2], f[3], "1"
		case "need":
			d := fleet.ProductDependency{ProductID: fleet.ProductID(f[1]), ProductVersion: "1", PackageVersion: "1",
				ProductAction: fleet.Action(f[2]), RequiredProductID: fleet.ProductID(f[4])}
			if status, ok := strings.CutPrefix(f[5], "="); ok {
				d.RequiredInstallationStatus, d.RequiredProductVersion, _ = strings.Cut(status, "@")
			} else {
				d.RequiredAction = fleet.Action(f[5])
			}
			if len(f) > 6 {
				d.RequirementType = f[6]
			}
			in.Dependencies = append(in.Dependencies, d)
		default:
			t.Fatalf("line %q", line)
		}
	}
	for _, s := range client {
		in.OnClient = append(in.OnClient, *s)
	}
	return in
}

func brief(p sequence.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s\n", s.Action, s.ProductID)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "# %s %s: %s\n", n.ProductID, n.Action, n.Text)
	}
	return b.String()
}

func TestOrder(t *testing.T) {
	abc := []string{"product a 0", "product b 0", "product c 0"}
	tests := []struct {
		name  string
		lines []string
		want  string
		err   string
	}{
		{name: "nothing requested", lines: []string{"product a 0", "request a none"}},
		{name: "priority then id", lines: []string{"product a 0", "product b 10", "product c 10", "product d -5",
			"request d setup", "request c setup", "request b setup", "request a setup"},
			want: "setup b\nsetup c\nsetup a\nsetup d\n"},
		{name: "uninstall negates the priority", lines: []string{"product a 10", "product b 0", "request a uninstall", "request b setup"},
			want: "setup b\nuninstall a\n"},
		{name: "a dependency is added", lines: append(abc, "request c setup", "need c setup -> a setup before"),
			want: "setup a\nsetup c\n"},
		{name: "a dependency is stronger than priority", lines: []string{"product a 90", "product z -90", "request a setup", "need a setup -> z setup before"},
			want: "setup z\nsetup a\n"},
		{name: "what is needed inherits the priority", lines: []string{"product driver 90", "product lib -50", "product office 0",
			"request driver setup", "request office setup", "need driver setup -> lib setup before"},
			want: "setup lib\nsetup driver\nsetup office\n"},
		{name: "after", lines: append(abc, "request b setup", "need b setup -> a custom after"),
			want: "setup b\ncustom a\n"},
		{name: "no type, no order", lines: []string{"product a 0", "product b 5", "request b setup", "need b setup -> a setup"},
			want: "setup b\nsetup a\n"},
		{name: "long chain the wrong way round", lines: []string{"product a 50", "product b 40", "product c 30", "product d 20", "product e 10",
			"request a setup", "need a setup -> b setup before", "need b setup -> c setup before", "need c setup -> d setup before", "need d setup -> e setup before"},
			want: "setup e\nsetup d\nsetup c\nsetup b\nsetup a\n"},
		{name: "two need the same", lines: append(abc, "request a setup", "request b setup", "need a setup -> c setup before", "need b setup -> c setup before"),
			want: "setup c\nsetup a\nsetup b\n"},
		{name: "status is there", lines: append(abc, "status b installed 1", "request a setup", "need a setup -> b =installed before"),
			want: "setup a\n"},
		{name: "status in an old version", lines: append(abc, "status b installed 0", "request a setup", "need a setup -> b =installed@1 before"),
			want: "setup b\nsetup a\n"},
		{name: "status is missing", lines: append(abc, "request a setup", "need a setup -> b =installed before"),
			want: "setup b\nsetup a\n"},
		{name: "status must go", lines: append(abc, "status b installed 1", "request a setup", "need a setup -> b =not_installed before"),
			want: "uninstall b\nsetup a\n"},
		{name: "installed but about to be removed", lines: append(abc, "status b installed 1", "request b uninstall", "request a setup", "need a setup -> b =installed before"),
			want: "setup b\nsetup a\n"},
		{name: "a request is ordered although the status was right", lines: []string{"product a 9", "product b 0", "status b installed 1", "request b update",
			"request a setup", "need a setup -> b =installed before"},
			want: "update b\nsetup a\n"},
		{name: "several actions for one product", lines: append(abc, "request a custom", "request b setup", "request c setup",
			"need b setup -> a update before", "need c setup -> a uninstall before"),
			want: "update a\nsetup b\nsetup c\n"},
		{name: "a dependency of another action is none", lines: append(abc, "request a custom", "need a setup -> b setup before"),
			want: "custom a\n"},
		{name: "required product is not on the depot", lines: append(abc, "request a setup", "need a setup -> x setup before"),
			want: "setup a\n# a setup: needs setup of x, which is not on the depot\n"},
		{name: "required version is not on the depot", lines: append(abc, "request a setup", "need a setup -> b =installed@2 before"),
			want: "setup a\n# a setup: needs setup of b, in a version that is not on the depot, which has 1-1\n"},
		{name: "requested product is not on the depot", lines: []string{"request a setup"},
			want: "# a setup: is requested, but the product is not on the depot\n"},
		{name: "circle", lines: append(abc, "product d 0", "product e 0", "request a setup", "request d setup", "request e setup",
			"need a setup -> b setup before", "need b setup -> c setup before", "need c setup -> a setup before", "need d setup -> a setup before"),
			want: "setup e\n# a setup: waits for products that wait for each other\n# b setup: waits for products that wait for each other\n" +
				"# c setup: waits for products that wait for each other\n# d setup: waits for products that wait for each other\n",
			err: "cannot order actions: products wait for each other: a -> c -> b -> a"},
		{name: "before and after make a circle", lines: append(abc, "request a setup", "need a setup -> b setup before", "need b setup -> a setup before"),
			want: "# a setup: waits for products that wait for each other\n# b setup: waits for products that wait for each other\n",
			err:  "cannot order actions: products wait for each other: a -> b -> a"},
		{name: "a product that waits for itself", lines: append(abc, "request a setup", "need a setup -> a setup before"),
			want: "# a setup: waits for products that wait for each other\n",
			err:  "cannot order actions: products wait for each other: a -> a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := sequence.Order(world(t, tt.lines...))
			if diff := cmp.Diff(tt.want, brief(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if got := fmt.Sprint(err); err != nil && got != tt.err || (err != nil) != (tt.err != "") {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			if err != nil && (fleet.CodeOf(err) != fleet.Invalid || fleet.HintOf(err) == "") {
				t.Errorf("code %s, hint %q", fleet.CodeOf(err), fleet.HintOf(err))
			}
		})
	}
}

func TestOrder_StepsSayWhy(t *testing.T) {
	plan, err := sequence.Order(world(t, "product a 0", "product b 7", "product c 0", "request a uninstall", "request b setup", "request c setup",
		"need b setup -> a setup before", "need c setup -> a setup before"))
	if err != nil {
		t.Fatal(err)
	}
	want := []sequence.Step{
		{ProductID: "a", ProductVersion: "1", PackageVersion: "1", Action: fleet.Setup, RequiredBy: []fleet.ProductID{"b", "c"},
			Why: "setup is required by b, c; it goes before uninstall, which is dropped"},
		{ProductID: "b", ProductVersion: "1", PackageVersion: "1", Action: fleet.Setup, Priority: 7, Requested: true, Why: "setup is requested"},
		{ProductID: "c", ProductVersion: "1", PackageVersion: "1", Action: fleet.Setup, Requested: true, Why: "setup is requested"},
	}
	if diff := cmp.Diff(want, plan.Steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestOrder_LeavesNetbootAlone(t *testing.T) {
	in := world(t, "product a 0", "request a setup")
	in.OnClient[0].ProductType = fleet.NetbootProduct
	plan, err := sequence.Order(in)
	if err != nil || len(plan.Steps)+len(plan.Notes) != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
}

// A version that the depot had before must not lend its dependencies.
func TestOrder_OtherVersionsDoNotCount(t *testing.T) {
	in := world(t, "product a 0", "product b 0", "request a setup", "need a setup -> b setup before")
	in.Dependencies[0].PackageVersion = "0"
	plan, err := sequence.Order(in)
	if err != nil || brief(plan) != "setup a\n" {
		t.Errorf("%s%v", brief(plan), err)
	}
}

func BenchmarkOrder_Chain1000(b *testing.B) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("product p%04d %d", i, i%200-100))
		if i > 0 {
			lines = append(lines, fmt.Sprintf("need p%04d setup -> p%04d setup before", i-1, i))
		}
	}
	in := world(b, append(lines, "request p0000 setup")...)
	for b.Loop() {
		if plan, err := sequence.Order(in); err != nil || len(plan.Steps) != 1000 {
			b.Fatal(err)
		}
	}
}
