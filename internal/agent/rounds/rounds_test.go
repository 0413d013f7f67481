package rounds_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/agent/rounds"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

func step(id string, action fleet.Action, requiredBy ...fleet.ProductID) sequence.Step {
	return sequence.Step{ProductID: fleet.ProductID(id), ProductVersion: "1", PackageVersion: "1", Action: action, RequiredBy: requiredBy}
}

func ran(id string, action fleet.Action, failed bool) rounds.Ran {
	return rounds.Ran{Action: rounds.Of(step(id, action)), Failed: failed}
}

func TestLeft(t *testing.T) {
	chain := []sequence.Step{step("base", fleet.Setup, "app"), step("app", fleet.Setup, "addon"), step("addon", fleet.Setup), step("other", fleet.Setup)}
	tests := []struct {
		name string
		plan []sequence.Step
		ran  []rounds.Ran
		want string
		err  string
	}{
		{"the first round is the plan", chain, nil, "base app addon other", ""},
		{"nothing is left", nil, []rounds.Ran{ran("base", fleet.Setup, false)}, "", ""},
		{"new work", chain[3:], []rounds.Ran{ran("base", fleet.Setup, false)}, "other", ""},
		{"what failed, and what waits for it", chain, []rounds.Ran{ran("base", fleet.Setup, true)}, "other", ""},
		{"failed and then done", chain[1:], []rounds.Ran{ran("app", fleet.Setup, true), ran("app", fleet.Setup, false)}, "app addon other", ""},
		{"another action of what failed", []sequence.Step{step("base", fleet.Uninstall)}, []rounds.Ran{ran("base", fleet.Setup, true)}, "base", ""},
		{"always runs once", []sequence.Step{step("logon", fleet.Always), step("other", fleet.Setup)}, []rounds.Ran{ran("logon", fleet.Always, false)}, "other", ""},
		{"requested again", chain[3:], []rounds.Ran{ran("other", fleet.Setup, false), ran("other", fleet.Setup, false)}, "other", ""},
		{"again and again", []sequence.Step{step("a", fleet.Setup), step("other", fleet.Setup)},
			[]rounds.Ran{ran("a", fleet.Setup, false), ran("a", fleet.Setup, false), ran("a", fleet.Setup, false)}, "other", "requested again after it ran 3 times: setup of a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			left, err := rounds.Left(tt.plan, tt.ran)
			var ids []string
			for _, s := range left {
				ids = append(ids, string(s.ProductID))
			}
			if d := cmp.Diff(tt.want, strings.Join(ids, " ")); d != "" {
				t.Errorf("left (-want +got):\n%s", d)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// Whatever scripts request, and whatever fails, rounds come to an end.
func TestLeft_ComesToAnEnd(t *testing.T) {
	actions := []fleet.Action{fleet.Setup, fleet.Update, fleet.Always, fleet.Uninstall}
	rapid.Check(t, func(t *rapid.T) {
		var done []rounds.Ran
		for n := 0; ; n++ {
			if n > 5*len(actions)*rounds.Most+1 {
				t.Fatalf("%d rounds", n)
			}
			var plan []sequence.Step
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				if rapid.IntRange(0, 9).Draw(t, "wanted") > 0 {
					plan = append(plan, step(id, rapid.SampledFrom(actions).Draw(t, "action")))
				}
			}
			left, _ := rounds.Left(plan, done)
			if len(left) == 0 {
				return
			}
			for _, s := range left {
				done = append(done, rounds.Ran{Action: rounds.Of(s), Failed: rapid.Bool().Draw(t, "failed")})
			}
		}
	})
}
