package conf_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

var update = flag.Bool("update", false, "write the golden files")

func describe(events []conf.EventConfig) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s: %s", e.ID, e.Type)
		for _, f := range []struct {
			name string
			on   bool
		}{
			{"inactive", !e.Active}, {"sync_config_to_server", e.SyncConfigToServer}, {"sync_config_from_server", e.SyncConfigFromServer},
			{"cache_products", e.CacheProducts}, {"cache_dynamic_bandwidth", e.CacheDynamicBandwidth},
			{"use_cached_config", e.UseCachedConfig}, {"use_cached_products", e.UseCachedProducts}, {"process_actions", e.ProcessActions},
			{"post_sync_config_to_server", e.PostSyncConfigToServer}, {"post_sync_config_from_server", e.PostSyncConfigFromServer}, {"reboot", e.Reboot},
		} {
			if f.on {
				b.WriteString(", " + f.name)
			}
		}
		if e.StartInterval+e.Interval > 0 {
			fmt.Fprintf(&b, ", after %s, every %s", e.StartInterval, e.Interval)
		}
		if e.CacheMaxBandwidth > 0 {
			fmt.Fprintf(&b, ", at most %d bytes/s", e.CacheMaxBandwidth)
		}
		for _, p := range slices.Sorted(maps.Keys(e.Preconditions)) {
			fmt.Fprintf(&b, ", if %s=%v", p, e.Preconditions[p])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestResolve_BuiltInEvents(t *testing.T) {
	const golden = "testdata/events.golden"
	got := describe(load(t, "", nil).Resolve())
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestResolve_Inheritance(t *testing.T) {
	s := load(t, `[event_base]
type = template
cache_max_bandwidth = 1000
reboot = true
process_shutdown_requests = false
shutdown_warning_time = 60
shutdown_user_cancelable = 3
shutdown_last_time = 600
[event_middle]
type = template
super = base
process_actions = false
[event_x]
type = gui startup
super = middle
active = false
preconditions = user_logged_in
[event_x{cache_ready}]
reboot = false
[event_x{installation_pending}]
super = base
type = custom
process_actions = true
`, nil)
	var got []conf.EventConfig
	for _, e := range s.Resolve() {
		if e.Name == "x" {
			got = append(got, e)
		}
	}
	shutdown := conf.Shutdown{Warning: time.Minute, Deferral: 3, Repeat: time.Hour, Last: 10 * time.Minute}
	want := []conf.EventConfig{
		{ID: "x", Name: "x", Type: conf.GUIStartup, Preconditions: map[string]bool{"user_logged_in": true}, CacheMaxBandwidth: 1000, Reboot: true, Shutdown: shutdown},
		// active and preconditions are not inherited, everything else is.
		{ID: "x{cache_ready}", Name: "x", Variant: "cache_ready", Type: conf.GUIStartup, Active: true,
			Preconditions: map[string]bool{"config_cached": true, "products_cached": true}, CacheMaxBandwidth: 1000, Shutdown: shutdown},
		{ID: "x{installation_pending}", Name: "x", Variant: "installation_pending", Type: conf.Custom, Active: true,
			Preconditions: map[string]bool{"installation_pending": true}, CacheMaxBandwidth: 1000, Reboot: true, ProcessActions: true, Shutdown: shutdown},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A WAN client by the seed's four host parameters, on a machine whose file has
// the events of the user interface.
func TestResolve_SeedsWANParameters(t *testing.T) {
	s := load(t, "[event_gui_startup]\ntype = gui startup\n[event_gui_startup{user_logged_in}]\n[event_gui_startup{cache_ready}]\nuse_cached_config = true\n", params{
		"opsiclientd.event_gui_startup.active":                 {false},
		"opsiclientd.event_gui_startup{user_logged_in}.active": {false},
		"opsiclientd.event_net_connection.active":              {true},
		"opsiclientd.event_timer.active":                       {true},
	})
	want := map[string]bool{"gui_startup": false, "gui_startup{user_logged_in}": false, "gui_startup{cache_ready}": true, "net_connection": true, "timer": true}
	got := map[string]bool{}
	for _, e := range s.Resolve() {
		if _, asked := want[e.ID]; asked {
			got[e.ID] = e.Active
		}
		if e.ID == "timer" && (e.StartInterval != time.Minute || e.Interval != time.Hour) {
			t.Errorf("timer after %s, every %s", e.StartInterval, e.Interval)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(s.Refused()) > 0 {
		t.Errorf("-want +got:\n%s refused %v", diff, refused(s))
	}
}

func drawText(t *rapid.T) string {
	sections := []string{"global", "cache_service", "event_a", "event_b", "event_a{p}", "event_b{q}", "event_sync", "precondition_p", "precondition_q"}
	var b strings.Builder
	for _, section := range sections {
		if rapid.Bool().Draw(t, section) {
			continue
		}
		fmt.Fprintf(&b, "[%s]\n", section)
		for _, k := range conf.Keys() {
			ofSection := k.Section == section || strings.HasSuffix(k.Section, "*") && strings.HasPrefix(section, strings.TrimSuffix(k.Section, "*"))
			if ofSection && rapid.IntRange(0, 4).Draw(t, k.Name) == 0 {
				fmt.Fprintf(&b, "%s = %s\n", k.Name, drawValue(t, k))
			}
		}
	}
	return b.String()
}

func drawValue(t *rapid.T, k conf.Key) string {
	switch {
	case len(k.Values) > 0:
		return rapid.SampledFrom(k.Values).Draw(t, "value")
	case k.Kind == conf.Bool:
		return rapid.SampledFrom([]string{"true", "false", "On"}).Draw(t, "value")
	case k.Kind == conf.Int:
		return rapid.SampledFrom([]string{"0", "5", "3600", "-1"}).Draw(t, "value")
	case k.Name == "super":
		return rapid.SampledFrom([]string{"a", "b", "sync", "none"}).Draw(t, "value")
	case k.Name == "preconditions":
		return rapid.SampledFrom([]string{"", "p", "p, q", "cache_ready"}).Draw(t, "value")
	}
	return rapid.SampledFrom([]string{"/x", "%global.base_dir%/y", "100%", "%a.b%"}).Draw(t, "value")
}

// Whatever the file and the server say: the file is right or the error says
// what is wrong; host parameters never make it wrong; nothing but data comes
// from them; each is taken or refused.
func TestLoad_HostParametersNeverBreakIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		file := parse(t, drawText(rt))
		before, err := conf.Load(file, nil)
		if err != nil {
			if len(err.Error()) == 0 {
				rt.Fatal("an error without words")
			}
			return
		}
		p := params{}
		for e := range parse(t, drawText(rt)).Entries() {
			p[fleet.ConfigID("opsiclientd."+e.Section+"."+e.Key)] = []any{e.Value}
		}
		after, err := conf.Load(file, p)
		if err != nil {
			rt.Fatalf("host parameters broke it: %v", err)
		}
		taken := 0
		for id := range p {
			section, key, _ := strings.Cut(strings.TrimPrefix(string(id), "opsiclientd."), ".")
			e, err := after.Explain(section, key)
			if err != nil {
				rt.Fatal(err)
			}
			if e.Layer == conf.FromParameter && e.From == section || id == "opsiclientd.global.verify_server_cert" && p[id][0] == "true" {
				taken++ // or says what is so anyway
			}
		}
		if taken+len(after.Refused()) != len(p) {
			rt.Fatalf("%d taken and %d refused of %d: %v", taken, len(after.Refused()), len(p), refused(after))
		}
		for _, k := range conf.Keys() {
			if k.Class != conf.Data && after.String(k.Section, k.Name) != before.String(k.Section, k.Name) {
				rt.Fatalf("%s.%s changed", k.Section, k.Name)
			}
		}
		if len(p) == len(after.Refused()) {
			if diff := cmp.Diff(before.Resolve(), after.Resolve()); diff != "" {
				rt.Fatalf("refused host parameters changed events: %s", diff)
			}
		}
		for _, e := range after.Resolve() {
			if e.Type == conf.Template || e.Type == "" || e.Interval < 0 || e.CacheMaxBandwidth < 0 {
				rt.Fatalf("%+v", e)
			}
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add(string(conf.Default().Bytes()), "event_timer.active", "true")
	f.Add("[event_a]\nsuper = a\ntype = timer\n", `event_a\{b\}.interval`, "1")
	f.Add("[global]\nbase_dir = %global.host_id%%\n", "global.log_level", "%global.log_level%")
	f.Fuzz(func(t *testing.T, text, id, value string) {
		file, err := conf.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := conf.Load(file, nil); err != nil {
			return
		}
		s, err := conf.Load(file, params{fleet.ConfigID("opsiclientd." + id): {value}})
		if err != nil {
			t.Fatalf("a host parameter broke it: %v", err)
		}
		s.Resolve()
	})
}
