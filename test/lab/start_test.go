package lab_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/test/lab"
)

// count is how many of the newest changes an event has with a status.
func count(pc *lab.Host, event, status string) (n int) {
	for _, c := range pc.Status().Changes {
		if c.Event == event && c.Status == status {
			n++
		}
	}
	return n
}

func tells(pc *lab.Host, text string) bool {
	lines, _ := pc.ControlCall("timeline_getEvents").([]any)
	return slices.ContainsFunc(lines, func(v any) bool {
		row, _ := v.(map[string]any)
		line, _ := row["text"].(string)
		return strings.Contains(line, text)
	})
}

const quietStart = "the machine starts, and no event of its start asks for the server"

// Seed A, of a client in WAN mode: "At system start of the client there will be no
// connection established to the opsi-configserver. When the activation of a network
// interface is detected, a connection ... will be established."
func TestWANStart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.StayConnected(true) // the message bus waits, too
	line := l.Line(slowline.Line{Rate: 100e6, RTT: time.Millisecond})
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1", lab.Through(line))
	l.Call("changeWANConfig", true, []any{pc.ID})
	pc.Fire("timer").OK(t)
	pc.Stop()
	pc.Request("tool", "setup")
	l.Run("no_connection_at_the_start", func(t *testing.T) {
		line.Cut() // the former agent's last words are not this one's
		line.Reset()
		pc.PowerOn()
		lab.Await(t, "the start", func() bool { return tells(pc, quietStart) })
		for range 100 { // what would connect by itself had time for it
			pc.LocalCall("host_getIdents")
		}
		if up, down := line.Counts(); up+down > 0 {
			t.Errorf("%d bytes to the server, %d from it", up, down)
		}
		if n := count(pc, "opsiclientd_start", "done"); n != 1 { // that of its first start, in the office
			t.Errorf("%d events of a start: %q", n, pc.Events())
		}
	})
	l.Run("an_interface_leads_to_one_and_to_a_synchronisation", func(t *testing.T) {
		pc.Wired()
		pc.Plug("192.0.2.7")
		pc.Await("the product", func(st control.Status) bool {
			return count(pc, "net_connection", "done") == 1 && st.Flags["products_cached"]
		})
		if up, down := line.Counts(); up == 0 || down == 0 {
			t.Error("nothing went over the line")
		}
	})
	l.Run("full_caches_are_installed_at_the_next_start", func(t *testing.T) {
		l.Server.Stop()
		pc.PowerOn()
		pc.Await("the installation", func(control.Status) bool { return count(pc, "opsiclientd_start{cache_ready}", "done") == 1 })
		l.Server.Start()
	})
	l.Run("in_the_office_it_connects_at_the_start", func(t *testing.T) {
		l.Call("changeWANConfig", false, []any{pc.ID})
		pc.Fire("timer").OK(t)
		line.Reset()
		pc.Boot().OK(t)
		if up, _ := line.Counts(); up == 0 {
			t.Error("nothing went over the line")
		}
	})
}

// The user interface starts, once a boot: with a greeter nobody is logged in, without
// one somebody is at once.
func TestGUIStartup(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("tool", "1", lab.Setup(note(trace, "tool")))
	pc := l.Host("pc1", lab.Conf("[event_timer]\nstart_interval = 86400\n[event_gui_startup]\nprocess_actions = true\n"))
	l.Run("a_terminal_is_none", func(t *testing.T) {
		pc.Login("root", "user", "tty")
		pc.Await("the session", func(st control.Status) bool { return st.Flags["user_logged_in"] })
		pc.Logout("root")
		pc.Await("its end", func(st control.Status) bool { return !st.Flags["user_logged_in"] })
		if n := len(pc.Events()); n != 1 {
			t.Errorf("events %q", pc.Events())
		}
	})
	l.Run("nobody_is_logged_in", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.Login("lightdm", "greeter", "x11")
		pc.Await("the event", func(control.Status) bool { return count(pc, "gui_startup", "done") == 1 })
		equal(t, "what ran", read(t, trace), "tool\n")
	})
	l.Run("once_a_boot", func(t *testing.T) {
		pc.Logout("lightdm")
		pc.Login("ann", "user", "wayland")
		pc.Stop()
		pc.Resume()
		pc.Fire("timer").OK(t) // and the sources are begun again
		pc.Fire("timer").OK(t)
		if n := count(pc, "gui_startup", "done") + count(pc, "gui_startup{user_logged_in}", "done"); n != 1 {
			t.Errorf("%d events: %q", n, pc.Events())
		}
	})
	l.Run("somebody_is_logged_in", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.PowerOn()
		pc.Login("ann", "user", "wayland")
		pc.Await("the variant", func(st control.Status) bool {
			return count(pc, "gui_startup{user_logged_in}", "done") == 1 && st.Flags["products_cached"] && st.Running == ""
		})
		equal(t, "what ran", read(t, trace), "tool\n")
	})
	l.Run("the_reboot_is_of_the_one_who_works", func(t *testing.T) {
		if n := count(pc, "sync_completed{cache_ready_user_logged_in}", "done"); n == 0 {
			t.Errorf("events %q", pc.Events())
		}
	})
	l.Run("switched_off", func(t *testing.T) {
		pc.Set("opsiclientd.event_gui_startup{user_logged_in}.active", false)
		pc.Set("opsiclientd.event_gui_startup.active", false)
		pc.Fire("timer").OK(t)
		before := count(pc, "gui_startup{user_logged_in}", "done") + count(pc, "gui_startup", "done")
		pc.PowerOn()
		pc.Login("ann", "user", "wayland")
		pc.Fire("timer").OK(t)
		if n := count(pc, "gui_startup{user_logged_in}", "done") + count(pc, "gui_startup", "done"); n != before {
			t.Errorf("events %q", pc.Events())
		}
	})
}

// Nobody waits for a transfer before logging on. There is nothing that keeps people
// from it, so what is shown is that nothing is there to wait for: a start with nothing
// ready asks for nothing that holds the machine up, and one with full caches installs
// without a transfer, whatever the line.
func TestLogon(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	const size = 4 << 20
	l.Package("tool", "1", lab.Files(map[string]string{"data": lab.Noise("logon", size)}), lab.Setup(note(trace, "tool")))
	line := l.Line(slowline.Line{Rate: 100e6, RTT: time.Millisecond})
	pc := l.Host("pc1", lab.Through(line))
	l.Call("changeWANConfig", true, []any{pc.ID})
	pc.Fire("timer").OK(t)
	l.Run("nothing_is_ready", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.Stop()
		began := time.Now()
		pc.PowerOn()
		lab.Await(t, "the start", func() bool { return tells(pc, quietStart) })
		st := pc.Status()
		if st.Running != "" || st.Waiting > 0 || st.Flags["installation_pending"] {
			t.Errorf("the start holds something up: %+v", st)
		}
		t.Logf("%v after power on nothing is under way", time.Since(began).Round(time.Millisecond))
	})
	l.Run("a_transfer_is_no_installation", func(t *testing.T) {
		line.Reset()
		pc.Fire("timer").OK(t)
		if _, down := line.Counts(); down < size {
			t.Errorf("%d bytes fetched", down)
		}
		if f := pc.Status().Flags; f["installation_pending"] || read(t, trace) != "" {
			t.Errorf("flags %v, ran %q", f, read(t, trace))
		}
	})
	l.Run("full_caches_need_no_transfer", func(t *testing.T) {
		pc.Stop()
		line.Reset()
		began := time.Now()
		pc.PowerOn()
		lab.Await(t, "the installation", func() bool { return read(t, trace) != "" })
		_, down := line.Counts()
		t.Logf("%v after power on it was installed, %d bytes fetched", time.Since(began).Round(time.Millisecond), down)
		pc.Await("its report", func(control.Status) bool { return count(pc, "opsiclientd_start{cache_ready}", "done") == 1 })
		if _, down := line.Counts(); down > size/20 {
			t.Errorf("%d bytes fetched", down)
		}
		equal(t, "the server's row", pc.State("tool"), "installed 1 none successful")
	})
}

// A prepared configuration comes with the agent: nothing but switching events in it, or
// their host parameters, puts a client into WAN mode.
func TestPreparedConf(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	meets := func(t *testing.T, pc *lab.Host) {
		t.Helper()
		pc.Request("tool", "setup")
		pc.PowerOn()
		lab.Await(t, "a quiet start", func() bool { return tells(pc, quietStart) })
		pc.Wired()
		pc.Plug("192.0.2.7")
		pc.Await("the product", func(st control.Status) bool {
			return count(pc, "net_connection", "done") == 1 && st.Flags["products_cached"]
		})
	}
	l.Run("switched_by_host_parameters", func(t *testing.T) {
		pc := l.Host("pc1", lab.Conf(conf.Prepared()))
		l.Call("changeWANConfig", true, []any{pc.ID})
		pc.Fire("on_demand").OK(t)
		meets(t, pc)
	})
	l.Run("switched_in_the_file", func(t *testing.T) {
		for _, id := range []string{"event_gui_startup", "event_gui_startup{user_logged_in}", "event_net_connection", "event_timer"} {
			l.Call("config_delete", "opsiclientd."+id+".active") // of a server that knows nothing of them
		}
		text := conf.Prepared()
		for _, s := range []string{"event_gui_startup", "event_gui_startup{user_logged_in}"} {
			text = strings.Replace(text, "\n["+s+"]\nactive = true\n", "\n["+s+"]\nactive = false\n", 1)
		}
		for _, s := range []string{"event_net_connection", "event_timer"} {
			text = strings.Replace(text, "\n["+s+"]\nactive = false\n", "\n["+s+"]\nactive = true\n", 1)
		}
		pc := l.Host("pc2", lab.Conf(conf.Prepared()))
		pc.Stop()
		pc.Configure(text)
		meets(t, pc)
	})
}

// Any option of the agent can be set by the host parameter of its name.
func TestHostParameters(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Files(map[string]string{"data": lab.Noise("parameters", 1<<20)}), lab.Setup("true"))
	pc := l.Host("pc1")
	set := func(parameter string, value any) {
		t.Helper()
		pc.Set("opsiclientd."+parameter, value)
	}
	l.Run("an_event_of_their_own", func(t *testing.T) {
		set("event_nightly.type", "custom")
		set("event_nightly.super", "sync")
		set("event_nightly{user_logged_in}.cache_products", false)
		pc.Fire("timer").OK(t)
		c := pc.Fire("nightly").OK(t)
		equal(t, "caches", strings.Contains(c.Texts("cache_products"), "0 of 0"), true)
		pc.Login("ann", "user", "tty")
		c = pc.Fire("nightly").OK(t)
		equal(t, "the variant caches", c.Texts("cache_products"), "")
		pc.Logout("ann")
	})
	l.Run("an_option_of_the_caches", func(t *testing.T) {
		set("cache_service.product_cache_max_size", "100000")
		pc.Request("tool", "setup")
		pc.Fire("timer") // it brings the parameter
		c := pc.Fire("timer")
		contains(t, c.Text, "product_cache_max_size is 100000")
		set("cache_service.product_cache_max_size", "100000000")
		pc.Fire("timer")
		pc.Fire("timer").OK(t)
	})
	l.Run("braces_as_the_seed_writes_them", func(t *testing.T) {
		l.Call("config_createBool", `opsiclientd.event_nightly\{user_logged_in\}.active`, "", true)
		set(`event_nightly\{user_logged_in\}.active`, false)
		pc.Fire("timer")
		pc.Login("ann", "user", "tty")
		c := pc.Fire("nightly")
		equal(t, "the event", c.Event, "nightly")
	})
	l.Run("not_whom_to_believe", func(t *testing.T) {
		set("config_service.url", "https://evil.example.org:4447/rpc")
		pc.Fire("timer")
		if !l.Log.Contains("is of class trust: only the machine's own file and a signed one may set it") {
			t.Error("it is not said that the parameter does not count")
		}
	})
}
