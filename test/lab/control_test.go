package lab_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

func TestControlInterface(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	begun, proceed := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "proceed")
	l.Package("tool", "1", lab.Setup(note(begun, "x")+"\nwhile [ ! -e "+proceed+" ]; do sleep 0.02; done"))
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	c := pc.Control(pc.Key())
	ask := func(t *testing.T, method string, args ...any) any {
		t.Helper()
		v, err := c.Call(t.Context(), actor, method, pos(args...))
		must(t, err)
		return v
	}
	l.Run("fireEvent", func(t *testing.T) {
		id, _ := ask(t, "fireEvent", "timer").(string)
		pc.Ended(id).OK(t)
	})
	l.Run("getState", func(t *testing.T) {
		equal(t, "products_cached", ask(t, "getState", "products_cached"), any(true))
		equal(t, "of a state that is unknown", ask(t, "getState", "nothing_like_it"), any(false))
	})
	l.Run("isInstallationPending_and_isEventRunning", func(t *testing.T) {
		equal(t, "pending before", ask(t, "isInstallationPending"), any(false))
		equal(t, "running before", ask(t, "isEventRunning", "on_demand"), any(false))
		id, _ := ask(t, "fireEvent", "on_demand").(string)
		lab.Await(t, "the script", func() bool { return read(t, begun) != "" })
		equal(t, "pending meanwhile", ask(t, "isInstallationPending"), any(true))
		equal(t, "running meanwhile", ask(t, "isEventRunning", "on_demand"), any(true))
		equal(t, "another one meanwhile", ask(t, "isEventRunning", "timer"), any(false))
		must(t, os.WriteFile(proceed, nil, 0o600))
		pc.Ended(id).OK(t)
		equal(t, "pending afterwards", ask(t, "isInstallationPending"), any(false))
	})
	l.Run("timeline_getEvents", func(t *testing.T) {
		lines, _ := ask(t, "timeline_getEvents").([]any)
		seen := map[string]bool{}
		for _, v := range lines {
			line, _ := v.(map[string]any)
			category, _ := line["category"].(string)
			seen[category] = true
		}
		for _, want := range []string{"event_occurrence", "config_sync", "product_caching"} {
			if !seen[want] {
				t.Errorf("no line of category %s in %v", want, lines)
			}
		}
	})
	l.Run("unknown_event", func(t *testing.T) {
		_, err := c.Call(t.Context(), actor, "fireEvent", pos("timr"))
		if fleet.CodeOf(err) != fleet.NotFound {
			t.Errorf("%v", err)
		}
		contains(t, err.Error(), `"timer"`)
	})
	l.Run("runs_no_command", func(t *testing.T) {
		for _, method := range []string{"execute", "shell_exec", "runCommand", "exec"} {
			if _, err := c.Call(t.Context(), actor, method, pos("true")); fleet.CodeOf(err) != fleet.NotFound && fleet.CodeOf(err) != fleet.Denied {
				t.Errorf("%s: %v", method, err)
			}
		}
	})
	l.Run("wrong_key", func(t *testing.T) {
		for method, key := range map[string]string{ // more in a row would be slowed down
			"fireEvent": "", "getState": "0123456789abcdef0123456789abcdef", "isInstallationPending": pc.Key()[:31],
			"timeline_getEvents": pc.Key() + "0", "agent_status": "admin",
		} {
			if _, err := pc.Control(key).Call(t.Context(), actor, method, pos("timer")); fleet.CodeOf(err) != fleet.Unauthenticated {
				t.Errorf("%s with the key %.8q...: %v", method, key, err)
			}
		}
		if f := pc.Status(); f.Running != "" {
			t.Errorf("%s runs", f.Event)
		}
	})
}
