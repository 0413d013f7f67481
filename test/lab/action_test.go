package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/test/lab"
)

func TestDependency(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	broken := filepath.Join(dir, "broken")
	l.Package("base", "1", lab.Setup(note(trace, "base")+"\nif [ -e "+broken+" ]; then echo 'no licence'; exit 7; fi"))
	l.Package("app", "1", lab.Needs("base"), lab.Setup(note(trace, "app")))
	l.Package("addon", "1", lab.Needs("app"), lab.Setup(note(trace, "addon")))
	l.Package("other", "1", lab.Setup(note(trace, "other")))
	ran := func(t *testing.T) string {
		defer os.Remove(trace)
		return read(t, trace)
	}
	pc := l.Host("pc1")
	l.Run("runs_after_what_it_needs", func(t *testing.T) {
		pc.Request("addon", "setup")
		pc.Fire("on_demand").OK(t)
		equal(t, "order", ran(t), "base\napp\naddon\n")
	})
	l.Run("is_skipped_with_a_reason_when_that_failed", func(t *testing.T) {
		if err := os.WriteFile(broken, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(broken)
		pc2 := l.Host("pc2")
		pc2.Request("addon", "setup")
		pc2.Request("other", "setup")
		c := pc2.Fire("on_demand")
		equal(t, "what ran", ran(t), "base\nother\n")
		texts := c.Texts("action")
		for _, want := range []string{"failed: setup of base 1-1: failed: exit code 7: no licence",
			"failed: setup of app waits: it needs base, which failed", "failed: setup of addon waits: it needs app, which failed",
			"done: setup of other 1-1: successful"} {
			if !strings.Contains(texts, want) {
				t.Errorf("no %q in\n%s", want, texts)
			}
		}
		equal(t, "the needed one on the server", pc2.State("base"), "unknown  none failed")
		equal(t, "the waiting one on the server", pc2.State("app"), "not_installed  setup ")
		equal(t, "another on the server", pc2.State("other"), "installed 1 none successful")
	})
	l.Run("is_skipped_when_that_could_not_begin", func(t *testing.T) {
		pc3 := l.Host("pc3")
		pc3.Request("addon", "setup")
		pc3.Fire("timer").OK(t)
		damage(t, filepath.Join(pc3.Cached("base"), "setup.sh"))
		c := pc3.Boot()
		equal(t, "what ran", ran(t), "")
		if text := c.Texts("action"); !strings.Contains(text, "app waits: it needs base") {
			t.Error(text)
		}
	})
}

// damage changes a byte of a file, not its size nor its times.
func damage(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(file, data, info.Mode()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func TestRebootRequest(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("driver", "1", lab.Setup("reboot-request 'new driver'\n"+note(trace, "driver")))
	l.Package("tool", "1", lab.Setup(note(trace, "tool")))
	pc := l.Host("pc1")
	pc.Request("driver", "setup")
	pc.Request("tool", "setup")
	pc.Fire("on_demand").OK(t)
	equal(t, "what ran", read(t, trace), "driver\ntool\n")
	if !pc.Status().Flags["reboot_requested"] {
		t.Error("no reboot is requested")
	}
	pc.Boot()
	if pc.Status().Flags["reboot_requested"] {
		t.Error("the request outlived the reboot")
	}
	equal(t, "what ran in all", read(t, trace), "driver\ntool\n")
}

func TestAlways(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("logon", "1", lab.Script("always", note(trace, "logon")))
	l.Package("tool", "1", lab.Setup(note(trace, "tool")))
	pc := l.Host("pc1")
	pc.Request("logon", "always")
	l.Run("alone_asks_for_no_reboot", func(t *testing.T) {
		pc.Fire("timer").OK(t)
		if f := pc.Status().Flags; f["reboot_requested"] || f["config_cached"] {
			t.Errorf("flags %v: each synchronisation would ask for a reboot", f)
		}
	})
	l.Run("alone_starts_no_replication", func(t *testing.T) {
		l.Log.Requests("host " + pc.ID)
		pc.Fire("timer").OK(t)
		if rows := pc.LocalRows("product_getObjects"); len(rows) != 0 {
			t.Errorf("replicated: %v", rows)
		}
		if st := pc.Status(); len(st.Cache.Products) != 0 {
			t.Errorf("cached: %+v", st.Cache.Products)
		}
		if requests := l.Log.Requests("host " + pc.ID); len(requests) != 1 {
			t.Errorf("requests %v", requests)
		}
	})
	l.Run("is_processed_when_somebody_wants_it", func(t *testing.T) {
		pc.Fire("on_demand").OK(t)
		equal(t, "what ran", read(t, trace), "logon\n")
		must(t, os.Remove(trace))
		pc.Fire("timer").OK(t)
		if rows := pc.LocalRows("product_getObjects"); len(rows) != 0 {
			t.Errorf("replicated: %v", rows)
		}
	})
	l.Run("runs_with_others", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.Fire("timer").OK(t)
		pc.Boot().OK(t)
		equal(t, "what ran", read(t, trace), "logon\ntool\n")
	})
	l.Run("stays", func(t *testing.T) {
		pc.Fire("on_demand").OK(t)
		equal(t, "what ran", read(t, trace), "logon\ntool\nlogon\n")
		equal(t, "the server's row", pc.State("logon"), "not_installed  always successful")
	})
}

// A script finds the service that knows the fleet, and its key.
func TestScriptReachesTheService(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("tool", "1", lab.Property("colour", "blue"),
		lab.Setup("property colour >> "+trace+"\n"+note(trace, "$FERNWERK_RPC_URL")+"\ncat $FERNWERK_RPC_KEY_FILE >> "+trace))
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	l.Server.Stop()
	pc.Boot().OK(t)
	lines := strings.Split(strings.TrimSpace(read(t, trace)), "\n")
	if len(lines) != 3 || lines[0] != "blue" || lines[2] != pc.Key() {
		t.Fatalf("the script saw %q", lines)
	}
	if got := pc.LocalCall("backend_info"); got.(map[string]any)["kind"] != "agent" {
		t.Errorf("%s answers %v", lines[1], got)
	}
}

// What a script says of its progress can be read while it runs.
func TestProgress(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	goOn := filepath.Join(t.TempDir(), "go-on")
	l.Package("slow", "1", lab.Setup("progress 'half way'\nwhile [ ! -e '"+goOn+"' ]; do sleep 0.02; done\n"))
	pc := l.Host("pc1")
	pc.Request("slow", "setup")
	change := pc.Begin("on_demand")
	progress := func() string {
		return pc.LocalRows("productOnClient_getObjects", []any{}, map[string]any{"productId": "slow"})[0].Str("actionProgress")
	}
	pc.Await("the progress", func(control.Status) bool {
		rows := pc.LocalRows("productOnClient_getObjects", []any{}, map[string]any{"productId": "slow"})
		return len(rows) == 1 && rows[0].Str("actionProgress") == "half way"
	})
	if err := os.WriteFile(goOn, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	pc.Ended(change).OK(t)
	equal(t, "progress after success", progress(), "")
}
