package lab_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/test/lab"
)

// onlyActions is an event that processes actions with what the caches have.
const onlyActions = `[event_timer]
start_interval = 86400
interval = 86400

[event_cached]
type = custom
use_cached_config = true
use_cached_products = true

[event_config_only]
type = custom
sync_config_to_server = true
sync_config_from_server = true
process_actions = false

[event_pull_only]
type = custom
sync_config_from_server = true
process_actions = false

[event_push_only]
type = custom
sync_config_to_server = true
process_actions = false

[event_post]
type = custom
use_cached_config = true
use_cached_products = true
post_sync_config_to_server = true
post_sync_config_from_server = true

[event_direct]
type = custom
`

func TestOnDemand(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("tool", "1", lab.Setup(note(trace, "tool")), lab.Script("always", note(trace, "always")))
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	l.Run("installs_now_and_reports", func(t *testing.T) {
		c := pc.Fire("on_demand").OK(t)
		equal(t, "what ran", read(t, trace), "tool\n")
		equal(t, "the server's row", pc.State("tool"), "installed 1 none successful")
		var kinds []string
		for _, task := range c.Tasks {
			kinds = append(kinds, task.Kind)
		}
		equal(t, "the steps", kinds, []string{"sync_config_to_server", "send_log", "sync_config_from_server", "cache_products",
			"process_actions", "action", "actions_done", "sync_config_to_server", "send_log", "sync_config_from_server", "repeat"})
	})
	l.Run("uncached_event", func(t *testing.T) {
		pc.Stop()
		pc.Configure(onlyActions)
		pc.Start()
		pc.Request("tool", "setup")
		pc.Fire("direct").OK(t)
		equal(t, "what ran", read(t, trace), "tool\ntool\n")
		equal(t, "the server's row", pc.State("tool"), "installed 1 none successful")
	})
	l.Run("marks_the_caches_as_used", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.Fire("timer").OK(t)
		if !pc.Status().Flags["config_cached"] {
			t.Fatal("the cache is not ready")
		}
		pc.Fire("on_demand").OK(t)
		if f := pc.Status().Flags; f["config_cached"] || f["products_cached"] {
			t.Errorf("flags %v", f)
		}
		before := read(t, trace)
		pc.Boot()
		equal(t, "what ran at the next start", read(t, trace), before)
	})
	l.Run("server_away", func(t *testing.T) {
		pc.Request("tool", "setup")
		l.Server.Stop()
		before := read(t, trace)
		c := pc.Fire("on_demand")
		if c.Status != "failed" || read(t, trace) != before {
			t.Errorf("%s: %s", c.Status, c.Text)
		}
		l.Server.Start()
	})
}

// Seed A: with an unfinished cache "the processing of this event will stop and
// return an error code".
func TestUseCached(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	for _, id := range []string{"one", "two"} {
		l.Package(id, "1", lab.Setup(note(trace, id)))
	}
	refused := func(t *testing.T, c lab.Change, want string) {
		t.Helper()
		if c.Status != "failed" || !strings.Contains(c.Text, want) {
			t.Errorf("%s ended as %s: %q, want an error with %q", c.Event, c.Status, c.Text, want)
		}
		if ran := read(t, trace); ran != "" {
			t.Errorf("ran: %s", ran)
		}
	}
	l.Run("use_cached_config_never_synchronised", func(t *testing.T) {
		new := l.Joined("new", lab.Conf(onlyActions+"[event_opsiclientd_start]\nsync_config_from_server = false\nsync_config_to_server = false\ncache_products = false\npost_sync_config_to_server = true\n"))
		new.Start()
		refused(t, new.Fire("cached"), "configuration")
	})
	pc := l.Host("pc1", lab.Conf(onlyActions))
	pc.Request("one", "setup")
	pc.Fire("timer").OK(t)
	pc.Request("two", "setup")
	pc.Fire("config_only").OK(t)
	l.Run("use_cached_products_incomplete", func(t *testing.T) {
		refused(t, pc.Fire("cached"), "two 1-1 is not in the cache")
		if f := pc.Status().Flags; f["installation_pending"] {
			t.Errorf("flags %v", f)
		}
	})
	l.Run("use_cached_products_complete", func(t *testing.T) {
		pc.Fire("timer").OK(t)
		l.Server.Stop()
		defer l.Server.Start()
		pc.Fire("cached").OK(t)
		equal(t, "what ran", read(t, trace), "one\ntwo\n")
	})
}

func TestPostSync(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1", lab.Conf(onlyActions))
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	pc.Set("site.note", "new")
	pc.Fire("post").OK(t)
	l.Run("to_the_server", func(t *testing.T) {
		equal(t, "the server's row", pc.State("tool"), "installed 1 none successful")
	})
	l.Run("from_the_server", func(t *testing.T) {
		equal(t, "the parameter here", parameter(pc, "site.note"), []any{"new"})
	})
}

// The four steps of the configuration's synchronisation can be chosen one by one.
func TestSyncOptions(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.Host("pc1", lab.Conf(onlyActions))
	change := func(value string) {
		pc.LocalCall("configState_create", "from.client", pc.ID, []any{value})
		pc.Set("from.server", value)
	}
	l.Run("sync_config_to_server", func(t *testing.T) {
		change("1")
		pc.Fire("push_only").OK(t)
		equal(t, "on the server", serverParameter(l, pc, "from.client"), []any{"1"})
		equal(t, "here", parameter(pc, "from.server"), []any(nil))
	})
	l.Run("sync_config_from_server", func(t *testing.T) {
		pc.Fire("pull_only").OK(t)
		equal(t, "here", parameter(pc, "from.server"), []any{"1"})
	})
	l.Run("unsent_changes_go_first", func(t *testing.T) {
		change("2")
		pc.Fire("pull_only").OK(t)
		equal(t, "on the server", serverParameter(l, pc, "from.client"), []any{"2"})
		equal(t, "here", parameter(pc, "from.server"), []any{"2"})
	})
	l.Run("a_failed_push_stops_the_pull", func(t *testing.T) {
		change("3")
		l.Server.Stop()
		c := pc.Fire("config_only")
		if !strings.HasPrefix(c.Texts("sync_config_to_server"), "failed: ") || !strings.HasPrefix(c.Texts("sync_config_from_server"), "skipped: ") {
			t.Errorf("%+v", c)
		}
		if st := pc.Status(); st.Unsent != 1 {
			t.Errorf("%d unsent", st.Unsent)
		}
		l.Server.Start()
		pc.Fire("config_only").OK(t)
		equal(t, "on the server", serverParameter(l, pc, "from.client"), []any{"3"})
	})
}

func TestTimer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	const every = "[event_timer]\nstart_interval = 1\ninterval = 1\n"
	timers := func(pc *lab.Host) int {
		n := 0
		for _, c := range pc.Status().Changes {
			if c.Event == "timer" && c.Status == "done" {
				n++
			}
		}
		return n
	}
	pc := l.Host("pc1", lab.Conf(every))
	l.Run("occurs_by_itself_and_again", func(t *testing.T) {
		pc.Await("two timers", func(control.Status) bool { return timers(pc) >= 2 })
	})
	l.Run("synchronises_when_the_server_is_there_again", func(t *testing.T) {
		pc.Request("tool", "setup")
		l.Server.Stop()
		pc.Await("a timer that finds no server", func(st control.Status) bool {
			return slices.ContainsFunc(st.Changes, func(c control.ChangeStatus) bool { return c.Event == "timer" && c.Status == "failed" })
		})
		l.Server.Start()
		pc.Await("the product", func(st control.Status) bool { return st.Flags["products_cached"] })
	})
	l.Run("switched_off_by_host_parameter", func(t *testing.T) {
		pc.Set("opsiclientd.event_timer.active", false)
		pc.Await("the parameter", func(control.Status) bool {
			v := parameter(pc, "opsiclientd.event_timer.active")
			return len(v) == 1 && v[0] == false
		})
		if _, err := pc.Control(pc.Key()).Call(t.Context(), actor, "fireEvent", pos("timer")); err == nil || !strings.Contains(err.Error(), "not active") {
			t.Errorf("it could be fired: %v", err)
		}
	})
}

// sync completed lasts until the machine starts again: a restart of the agent
// alone installs nothing.
func TestSyncCompletedLasts(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("tool", "1", lab.Setup(note(trace, "tool")))
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	pc.Stop()
	pc.Resume()
	pc.Fire("timer").OK(t)
	if f := pc.Status().Flags; !f["config_cached"] || !f["products_cached"] || read(t, trace) != "" {
		t.Errorf("flags %v, ran %q", f, read(t, trace))
	}
	pc.Boot().OK(t)
	equal(t, "what ran", read(t, trace), "tool\n")
}
