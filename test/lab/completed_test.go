package lab_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/test/lab"
)

// Seed A: sync completed lasts "until the next reboot, or until it is canceled by
// manually fired event (e.g. on_demand). In the latter case the config cache is marked
// invalid ... and the other event is processed."
func TestSyncCompletedCancelled(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("tool", "1", lab.Setup(note(trace, "tool")))
	l.Package("driver", "1", lab.Setup("reboot-request 'new driver'"))
	pc := l.Host("pc1")
	pc.Set("opsiclientd.event_net_connection.active", true)
	ready := func(t *testing.T) {
		t.Helper()
		pc.Request("tool", "setup")
		pc.Fire("timer").OK(t)
		if st := pc.Status(); st.Reboot == nil || !st.Flags["config_cached"] || !st.Flags["products_cached"] {
			t.Fatalf("sync completed does not last: %+v, %v", st.Reboot, st.Flags)
		}
	}
	l.Run("by_an_event_fired_by_hand", func(t *testing.T) {
		ready(t)
		c := pc.Fire("on_demand").OK(t)
		st := pc.Status()
		if st.Reboot != nil || st.Flags["reboot_requested"] || st.Flags["config_cached"] {
			t.Errorf("left: %+v, %v", st.Reboot, st.Flags)
		}
		lines, _ := pc.ControlCall("timeline_getEvents").([]any)
		if !slices.ContainsFunc(lines, func(v any) bool {
			row, _ := v.(map[string]any)
			return row["text"] == "sync completed is cancelled: on_demand was fired by hand; its reboot is not wanted any more" && row["change"] == c.ID
		}) {
			t.Errorf("the timeline does not tell: %v", lines)
		}
	})
	l.Run("the_other_event_is_processed", func(t *testing.T) {
		equal(t, "what ran", read(t, trace), "tool\n")
		equal(t, "the server's row", pc.State("tool"), "installed 1 none successful")
		pc.Boot()
		equal(t, "what ran after the next start", read(t, trace), "tool\n")
		equal(t, "restarts", pc.Restarts(), 0)
	})
	l.Run("the_config_cache_is_invalid_until_it_is_synchronised", func(t *testing.T) {
		ready(t)
		l.Server.Stop()
		if c := pc.Fire("on_demand"); c.Status != "failed" {
			t.Errorf("%s ended as %s without a server", c.Event, c.Status)
		}
		if f := pc.Status().Flags; f["config_cached"] {
			t.Errorf("flags %v", f)
		}
		pc.Boot()
		equal(t, "what ran without a synchronisation", read(t, trace), "tool\n")
		l.Server.Start()
		ready(t)
		pc.Boot().OK(t)
		equal(t, "what ran after it", read(t, trace), "tool\ntool\n")
	})
	l.Run("not_by_an_event_that_comes_by_itself", func(t *testing.T) {
		ready(t)
		before := pc.Status().Reboot
		pc.Plug("192.0.2.7")
		pc.Await("the network's event", func(st control.Status) bool {
			return slices.ContainsFunc(st.Changes, func(c control.ChangeStatus) bool { return c.Event == "net_connection" && c.Ended() }) && st.Running == ""
		})
		if st := pc.Status(); st.Reboot == nil || st.Reboot.Asked != before.Asked || !st.Flags["config_cached"] {
			t.Errorf("%+v after %+v, %v", st.Reboot, before, st.Flags)
		}
		pc.Fire("on_demand").OK(t)
	})
	l.Run("a_reboot_that_an_action_asks_for_stays", func(t *testing.T) {
		pc.Request("driver", "setup")
		pc.Fire("on_demand").OK(t)
		ready(t)
		if r := pc.Status().Reboot; !strings.Contains(r.Text, "driver: new driver") || !strings.Contains(r.Text, "products are ready") {
			t.Errorf("asked for: %+v", r)
		}
		pc.Fire("on_demand").OK(t)
		if r := pc.Status().Reboot; r == nil || !strings.Contains(r.Text, "driver: new driver") {
			t.Errorf("left: %+v", r)
		}
	})
}
