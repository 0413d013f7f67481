package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

func configs(t testing.TB, text string) []conf.EventConfig {
	t.Helper()
	f, err := conf.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := conf.Load(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Resolve()
}

func TestSelect(t *testing.T) {
	const text = `[event_opsiclientd_start]
active = true
[event_gui_startup]
type = gui startup
active = false
[event_gui_startup{user_logged_in}]
active = false
[event_gui_startup{cache_ready}]
use_cached_products = true
[event_on_demand{user_logged_in}]
[event_on_demand{installation_pending}]
`
	ready := map[string]bool{"config_cached": true, "products_cached": true}
	tests := []struct {
		name       string
		occurrence event.Occurrence
		state      map[string]bool
		want       string // id of the selected one
		reasons    []string
	}{
		{name: "a variant whose preconditions hold wins over the main one",
			occurrence: event.Occurrence{Type: conf.DaemonStartup}, state: ready, want: "opsiclientd_start{cache_ready}",
			reasons: []string{"opsiclientd_start{cache_ready}: is selected: config_cached is true, products_cached is true",
				"opsiclientd_start: fits, but opsiclientd_start{cache_ready} has more preconditions (2, not 0)"}},
		{name: "half a cache is none",
			occurrence: event.Occurrence{Type: conf.DaemonStartup}, state: map[string]bool{"config_cached": true}, want: "opsiclientd_start",
			reasons: []string{"opsiclientd_start: is selected: it has no preconditions",
				"opsiclientd_start{cache_ready}: does not fit the state: products_cached is false"}},
		{name: "most preconditions",
			occurrence: event.Occurrence{Type: conf.SyncCompleted}, state: map[string]bool{"config_cached": true, "products_cached": true, "user_logged_in": true},
			want: "sync_completed{cache_ready_user_logged_in}",
			reasons: []string{"sync_completed{cache_ready_user_logged_in}: is selected: config_cached is true, products_cached is true, user_logged_in is true",
				"sync_completed: fits, but sync_completed{cache_ready_user_logged_in} has more preconditions (3, not 0)",
				"sync_completed{cache_ready}: fits, but sync_completed{cache_ready_user_logged_in} has more preconditions (3, not 2)"}},
		{name: "a WAN client with an empty cache does nothing at the start",
			occurrence: event.Occurrence{Type: conf.GUIStartup},
			reasons: []string{"gui_startup: is not active", "gui_startup{cache_ready}: does not fit the state: config_cached is false, products_cached is false",
				"gui_startup{user_logged_in}: is not active"}},
		{name: "a WAN client with full caches",
			occurrence: event.Occurrence{Type: conf.GUIStartup}, state: ready, want: "gui_startup{cache_ready}",
			reasons: []string{"gui_startup{cache_ready}: is selected: config_cached is true, products_cached is true",
				"gui_startup: is not active", "gui_startup{user_logged_in}: is not active"}},
		{name: "as many preconditions, first by name",
			occurrence: event.Occurrence{Name: "on_demand"}, state: map[string]bool{"user_logged_in": true, "installation_pending": true},
			want: "on_demand{installation_pending}",
			reasons: []string{"on_demand{installation_pending}: is selected: installation_pending is true",
				"on_demand: fits, but on_demand{installation_pending} has more preconditions (1, not 0)",
				"on_demand{user_logged_in}: fits, but on_demand{installation_pending} comes first by name"}},
		{name: "a timer by its name", occurrence: event.Occurrence{Type: conf.Timer, Name: "timer"}, reasons: []string{"timer: is not active"}},
		{name: "by hand, not there", occurrence: event.Occurrence{Name: "on_demnad"}, reasons: []string{": no event is configured for on_demnad by hand"}},
		{name: "a template never counts", occurrence: event.Occurrence{Name: "sync"}, reasons: []string{": no event is configured for sync by hand"}},
		{name: "name and type must both fit", occurrence: event.Occurrence{Type: conf.Timer, Name: "on_demand"}, reasons: []string{": no event is configured for on_demand (timer)"}},
		{name: "nothing said", reasons: []string{": no event is configured for nothing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok, reasons := event.Select(configs(t, text), tt.occurrence, tt.state)
			if got.ID != tt.want || ok != (tt.want != "") {
				t.Errorf("selected %q, %v, want %q", got.ID, ok, tt.want)
			}
			var texts []string
			for _, r := range reasons {
				texts = append(texts, r.ID+": "+r.Text)
			}
			if diff := cmp.Diff(tt.reasons, texts); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelect_Properties(t *testing.T) {
	flags := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		flagMap := rapid.MapOf(rapid.SampledFrom(flags), rapid.Bool())
		var all []conf.EventConfig
		for i := range rapid.IntRange(0, 5).Draw(t, "configs") {
			all = append(all, conf.EventConfig{ID: fmt.Sprintf("x{%d}", i), Name: "x", Type: conf.Custom,
				Active: rapid.Bool().Draw(t, "active"), Preconditions: flagMap.Draw(t, "preconditions")})
		}
		state := flagMap.Draw(t, "state")
		o := event.Occurrence{Name: "x", Time: time.Unix(0, 0)}
		won, ok, reasons := event.Select(all, o, state)
		fits := func(c conf.EventConfig) bool {
			for flag, want := range c.Preconditions {
				if state[flag] != want {
					return false
				}
			}
			return c.Active
		}
		for _, c := range all {
			if fits(c) && (!ok || len(c.Preconditions) > len(won.Preconditions)) {
				t.Fatalf("%+v was passed over for %+v", c, won)
			}
		}
		if ok && !fits(won) {
			t.Fatalf("%+v does not fit %v", won, state)
		}
		if len(reasons) != max(1, len(all)) {
			t.Fatalf("%d reasons for %d configurations", len(reasons), len(all))
		}
		mixed := rapid.Permutation(all).Draw(t, "mixed")
		again, okAgain, reasonsAgain := event.Select(mixed, o, state)
		if diff := cmp.Diff([]any{won, ok, reasons}, []any{again, okAgain, reasonsAgain}); diff != "" {
			t.Fatalf("another order of configurations gives another answer:\n%s", diff)
		}
	})
}
