package event

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// Reason tells why an event configuration counts or not.
type Reason struct {
	ID   string // "" if there is none to speak of
	Text string
}

// Select returns the configuration that an occurrence calls for: of the active
// ones whose preconditions all hold in state (a flag that is missing is false)
// the one with the most preconditions, then the first by id. The reasons tell
// about every configuration that was in question, the selected one first.
func Select(configs []conf.EventConfig, o Occurrence, state map[string]bool) (conf.EventConfig, bool, []Reason) {
	var reasons []Reason
	var fit []conf.EventConfig
	for _, c := range configs {
		if !concerns(c, o) {
			continue
		}
		failing := unmet(c, state)
		switch {
		case !c.Active:
			reasons = append(reasons, Reason{c.ID, "is not active"})
		case len(failing) > 0:
			reasons = append(reasons, Reason{c.ID, "does not fit the state: " + strings.Join(failing, ", ")})
		default:
			fit = append(fit, c)
		}
	}
	byID := func(a, b Reason) int { return strings.Compare(a.ID, b.ID) }
	if len(fit) == 0 {
		if len(reasons) == 0 {
			reasons = append(reasons, Reason{"", fmt.Sprintf("no event is configured for %s", o)})
		}
		slices.SortFunc(reasons, byID)
		return conf.EventConfig{}, false, reasons
	}
	slices.SortFunc(fit, func(a, b conf.EventConfig) int {
		return cmp.Or(cmp.Compare(len(b.Preconditions), len(a.Preconditions)), strings.Compare(a.ID, b.ID))
	})
	won := fit[0]
	for _, c := range fit[1:] {
		text := fmt.Sprintf("fits, but %s comes first by name", won.ID)
		if n := len(c.Preconditions); n < len(won.Preconditions) {
			text = fmt.Sprintf("fits, but %s has more preconditions (%d, not %d)", won.ID, len(won.Preconditions), n)
		}
		reasons = append(reasons, Reason{c.ID, text})
	}
	slices.SortFunc(reasons, byID)
	return won, true, slices.Insert(reasons, 0, Reason{won.ID, "is selected: " + met(won)})
}

func concerns(c conf.EventConfig, o Occurrence) bool {
	return (o.Type != "" || o.Name != "") && c.Type != conf.Template &&
		(o.Type == "" || o.Type == c.Type) && (o.Name == "" || o.Name == c.Name)
}

// unmet lists the preconditions that do not hold.
func unmet(c conf.EventConfig, state map[string]bool) []string {
	var texts []string
	for _, flag := range slices.Sorted(maps.Keys(c.Preconditions)) {
		if want := c.Preconditions[flag]; state[flag] != want {
			texts = append(texts, fmt.Sprintf("%s is %v", flag, !want))
		}
	}
	return texts
}

func met(c conf.EventConfig) string {
	if len(c.Preconditions) == 0 {
		return "it has no preconditions"
	}
	var texts []string
	for _, flag := range slices.Sorted(maps.Keys(c.Preconditions)) {
		texts = append(texts, fmt.Sprintf("%s is %v", flag, c.Preconditions[flag]))
	}
	return strings.Join(texts, ", ")
}
