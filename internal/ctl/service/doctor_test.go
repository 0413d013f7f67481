package service

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A host is well while each of its files is in place and nothing went wrong.
func TestAmiss(t *testing.T) {
	file := func(state, problem string) any { return map[string]any{"state": state, "problem": problem} }
	for name, test := range map[string]struct {
		host fleet.Row
		want bool
	}{
		"none":        {fleet.Row{"files": []any{}}, false},
		"in place":    {fleet.Row{"problem": "", "files": []any{file("in place", "")}}, false},
		"refused":     {fleet.Row{"files": []any{file("in place", ""), file("refused", "a link stands in its place")}}, true},
		"not started": {fleet.Row{"files": []any{file("in place", "munge could not be restarted")}}, true},
		"list":        {fleet.Row{"problem": "the list is not signed"}, true},
	} {
		if got := amiss(test.host); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
