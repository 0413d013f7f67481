package lab_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

// atOnce has reboots that actions ask for carried out without a warning.
const atOnce = "[event_timer]\nstart_interval = 86400\ninterval = 86400\n[event_on_demand]\nshutdown_warning_time = 0\n[event_opsiclientd_start{cache_ready}]\nshutdown_warning_time = 0\n"

// A reboot that an action asks for is executed, and processing goes on after it.
func TestReboot(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("aaa-driver", "1", lab.Setup("reboot-before-next 'new driver'\n"+note(trace, "driver")))
	l.Package("bbb-tool", "1", lab.Setup(note(trace, "tool $FERNWERK_ATTEMPT")))
	l.Package("ccc-parts", "1", lab.Setup(`case $FERNWERK_STEP in
"") `+note(trace, "part 1")+`; reboot-continue part-2 'files in use'; exit 0;;
part-2) `+note(trace, "part 2")+`;;
esac`))
	l.Package("ddd-last", "1", lab.Setup("reboot-request\n"+note(trace, "last")))
	l.Package("eee-always", "1", lab.Script("always", note(trace, "always")+"\nreboot-before-next"))
	pc := l.Host("pc1", lab.Conf(atOnce))
	for _, id := range []string{"aaa-driver", "bbb-tool", "ccc-parts", "ddd-last"} {
		pc.Request(id, "setup")
	}
	l.Run("is_carried_out_before_the_next_action", func(t *testing.T) {
		c := pc.Fire("on_demand").OK(t)
		pc.Await("the restart", func(control.Status) bool { return pc.Restarts() == 1 })
		equal(t, "what ran", read(t, trace), "driver\n")
		equal(t, "the result was sent before", pc.State("aaa-driver"), "installed 1 none successful")
		equal(t, "what waits, on the server", pc.State("bbb-tool"), "not_installed  setup ")
		if text := c.Texts("action"); !strings.Contains(text, "skipped: left for after the reboot") {
			t.Error(text)
		}
		if st := pc.Status(); st.Reboot == nil || !st.Reboot.Holds || st.Reboot.Text != "aaa-driver: new driver" || !st.Flags["installation_pending"] {
			t.Errorf("status %+v, flags %v", st.Reboot, st.Flags)
		}
	})
	l.Run("a_restart_of_the_agent_alone_is_none", func(t *testing.T) {
		pc.Stop()
		pc.Resume()
		pc.Fire("on_demand").OK(t)
		equal(t, "what ran", read(t, trace), "driver\n")
	})
	l.Server.Stop()
	l.Run("goes_on_after_it_without_the_server", func(t *testing.T) {
		pc.Boot()
		equal(t, "what ran", read(t, trace), "driver\ntool 1\npart 1\n")
		if events := pc.Events(); events[len(events)-2] != "on_demand" {
			t.Errorf("events %q", events)
		}
	})
	l.Run("goes_on_in_the_middle_of_a_script", func(t *testing.T) {
		rows := pc.LocalRows("productOnClient_getObjects", []any{}, map[string]any{"productId": "ccc-parts"})
		if len(rows) != 1 || rows[0].Str("actionRequest") != "setup" || rows[0].Str("actionProgress") != "waits for a reboot, then goes on at part-2" {
			t.Errorf("before: %v", rows)
		}
		pc.Restarted(2)
		equal(t, "what ran", read(t, trace), "driver\ntool 1\npart 1\npart 2\nlast\n")
	})
	l.Run("when_all_is_done", func(t *testing.T) {
		pc.Restarted(3)
		equal(t, "what ran", read(t, trace), "driver\ntool 1\npart 1\npart 2\nlast\n")
		if st := pc.Status(); st.Reboot != nil || st.Flags["reboot_requested"] || st.Flags["installation_pending"] {
			t.Errorf("left: %+v, %v", st.Reboot, st.Flags)
		}
	})
	l.Server.Start()
	l.Run("results_are_right", func(t *testing.T) {
		pc.Fire("timer").OK(t)
		for _, id := range []string{"aaa-driver", "bbb-tool", "ccc-parts", "ddd-last"} {
			equal(t, id, pc.State(id), "installed 1 none successful")
		}
		pc.Boot()
		equal(t, "restarts in all", pc.Restarts(), 3)
	})
	l.Run("is_no_loop", func(t *testing.T) {
		pc.Request("eee-always", "always")
		pc.Request("bbb-tool", "setup")
		pc.Fire("on_demand").OK(t)
		pc.Restarted(4)
		if n := strings.Count(read(t, trace), "always"); n != 1 {
			t.Errorf("it ran %d times", n)
		}
		pc.Boot()
		equal(t, "restarts", pc.Restarts(), 4)
	})
}

// A script that asks again and again to be run after a reboot is given up, as failed.
func TestReboot_WithoutAnEnd(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("reboot-continue again"))
	pc := l.Host("pc1", lab.Conf(atOnce))
	pc.Request("tool", "setup")
	pc.Fire("on_demand").OK(t)
	for n := 1; n <= 10; n++ {
		pc.Restarted(n)
	}
	pc.Fire("timer").OK(t)
	equal(t, "the product", pc.State("tool"), "unknown  none failed")
	contains(t, pc.Product("tool").Str("actionProgress"), `asked 11 times to go on after a reboot, the last time at "again": given up`)
	equal(t, "restarts", pc.Restarts(), 10)
}

// Whoever works at the machine accepts a reboot, or puts it off.
func TestReboot_AcceptOrLater(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1", lab.Conf("[event_timer]\nstart_interval = 86400\ninterval = 86400\n[event_sync_completed]\nshutdown_user_cancelable = 2\nshutdown_warning_repetition_time = 7200\n"))
	c := pc.Control(pc.Key())
	call := func(method string, args ...any) error {
		_, err := c.Call(t.Context(), actor, method, pos(args...))
		return err
	}
	if err := call("agent_rebootAccept"); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("nothing waits: %v", err)
	}
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	first := pc.Status().Reboot
	if first == nil || first.Deferrals != 2 || first.Due <= first.Asked {
		t.Fatalf("%+v", first)
	}
	l.Run("later", func(t *testing.T) {
		must(t, call("agent_rebootLater"))
		if now := pc.Status().Reboot; now.Due <= first.Due || now.Deferrals != 1 || now.Deferred != 1 {
			t.Errorf("%+v after %+v", now, first)
		}
		if err := call("agent_rebootLater", 7201); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("for longer than is allowed: %v", err)
		}
		must(t, call("agent_rebootLater", 60))
		if err := call("agent_rebootLater"); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("once more than is allowed: %v", err)
		}
		equal(t, "restarts", pc.Restarts(), 0)
	})
	l.Run("accept", func(t *testing.T) {
		must(t, call("agent_rebootAccept"))
		pc.Restarted(1).OK(t)
		if pc.Status().Reboot != nil {
			t.Error("the request outlived the reboot")
		}
		pc.Fire("timer").OK(t)
		equal(t, "the product", pc.State("tool"), "installed 1 none successful")
	})
}

// An event can leave the reboots that its actions ask for to people.
func TestReboot_OnlyShown(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("reboot-before-next"))
	pc := l.Host("pc1", lab.Conf(atOnce+"[event_hands_off]\ntype = custom\nsuper = on_demand\nprocess_shutdown_requests = false\n"))
	pc.Request("tool", "setup")
	pc.Fire("hands_off").OK(t)
	if st := pc.Status(); st.Reboot == nil || st.Reboot.Due < "2100" || !st.Flags["reboot_requested"] {
		t.Errorf("%+v, %v", st.Reboot, st.Flags)
	}
	equal(t, "restarts", pc.Restarts(), 0)
}
