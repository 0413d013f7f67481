package update

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Check tells whether a list of updates can be published together: each number
// and id stands once, and what an update comes after is there, and reaches every
// host that the update itself reaches. Since only smaller numbers can come before,
// there is no circle.
func Check(all []Header) error {
	byNumber, byID := map[int]Header{}, map[string]int{}
	for _, h := range all {
		if _, twice := byNumber[h.Number]; twice {
			return fleet.Errorf(fleet.Conflict, "number %s stands twice", Name(h.Number))
		}
		if n, twice := byID[h.ID]; twice {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "updates %s and %s are both called %q", Name(n), Name(h.Number), h.ID), "an id says which hosts come first: give each update its own")
		}
		byNumber[h.Number], byID[h.ID] = h, h.Number
	}
	for _, h := range all {
		for _, n := range h.After {
			before, there := byNumber[n]
			switch {
			case n >= h.Number:
				return fleet.Errorf(fleet.Invalid, "update %s cannot come after %s", Name(h.Number), Name(n))
			case !there:
				return fleet.WithHint(fleet.Errorf(fleet.Conflict, "update %s comes after %s, which is not published", Name(h.Number), Name(n)), "publish %s first", Name(n))
			}
			if what := narrower(before, h); what != "" {
				return fleet.Errorf(fleet.Conflict, "update %s comes after %s, which reaches fewer hosts: its %s", Name(h.Number), Name(n), what)
			}
		}
	}
	return nil
}

// narrower says by what an update reaches fewer hosts than another, "" if it does
// not.
func narrower(before, h Header) string {
	within := func(wide, narrow []string) bool {
		if len(wide) == 0 {
			return true
		}
		return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(s string) bool { return !slices.Contains(wide, s) })
	}
	switch {
	case !within(before.Platforms, h.Platforms):
		return "platforms"
	case !within(before.Groups, h.Groups):
		return "groups"
	case !within(before.NodeTypes, h.NodeTypes):
		return "node types"
	case before.Audience != Both && before.Audience != h.Audience:
		return "audience"
	}
	return ""
}

// Without tells whether an update can be taken out of a list: nothing else may
// come after it.
func Without(all []Header, number int) error {
	var needed []string
	for _, h := range all {
		if slices.Contains(h.After, number) {
			needed = append(needed, Name(h.Number))
		}
	}
	if len(needed) > 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "update %s cannot go: %s", Name(number), comeAfter(needed)), "withdraw %s first", strings.Join(needed, ", "))
	}
	return nil
}

func comeAfter(names []string) string {
	if len(names) == 1 {
		return fmt.Sprintf("%s comes after it", names[0])
	}
	return fmt.Sprintf("%s come after it", strings.Join(names, ", "))
}
