package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/test/lab"
)

// note is a script line that leaves a trace in a file.
func note(file, text string) string { return fmt.Sprintf("echo %q >> %s", text, file) }

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// TestJourney is seed A's journey: everything arrives in the background, the
// machine restarts and installs with no server in reach, the results follow.
func TestJourney(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("firefox", "128.0",
		lab.Files(map[string]string{"files/a.txt": "alpha", "files/deep/b.bin": lab.Noise("b", 300_000), "empty": ""}),
		lab.Property("language", "en"),
		lab.Setup("set -e\n"+note(trace, "$FERNWERK_PRODUCT_VERSION in $(property language)")+"\ncat files/a.txt\nwc -c < files/deep/b.bin"))
	pc := l.Host("pc1")

	// Nothing to do: nothing is cached, no reboot is wanted.
	st := pc.Status()
	if len(st.Cache.Products) > 0 || st.Flags["config_cached"] || st.Flags["reboot_requested"] {
		t.Errorf("without a request: %+v", st)
	}
	pc.Request("firefox", "setup")
	l.Call("productPropertyState_create", "firefox", "language", pc.ID, []any{"de"})

	var change lab.Change
	l.Run("background_caching", func(t *testing.T) {
		change = pc.Fire("timer").OK(t)
		equal(t, "the copy", lab.Differ(l.Tree(pc.Cached("firefox")), depotTree(l, "firefox")), []string(nil))
		if read(t, trace) != "" {
			t.Error("it was installed at once")
		}
		if text := change.Texts("cache_products"); !strings.HasPrefix(text, "done: 1 of 1 products cached, depot "+l.Server.ID+" by webdav") {
			t.Error(text)
		}
	})
	l.Run("sync_completed", func(t *testing.T) {
		if events := pc.Events(); !slices.Contains(events, "sync_completed{cache_ready}") {
			t.Errorf("events %q", events)
		}
		st := pc.Status()
		if !st.Flags["config_cached"] || !st.Flags["products_cached"] {
			t.Errorf("flags %v", st.Flags)
		}
	})
	l.Run("reboot_request", func(t *testing.T) {
		if !pc.Status().Flags["reboot_requested"] {
			t.Error("no reboot was requested")
		}
	})
	l.Server.Stop()
	l.Run("installs_with_the_server_away", func(t *testing.T) {
		change = pc.Boot().OK(t)
		if change.Event != "opsiclientd_start{cache_ready}" {
			t.Errorf("the start selected %s", change.Event)
		}
		equal(t, "what the script did", read(t, trace), "128.0 in de\n")
		rows := pc.LocalRows("productOnClient_getObjects", []any{}, map[string]any{"productId": "firefox"})
		if len(rows) != 1 || rows[0].Str("installationStatus") != "installed" || rows[0].Str("actionRequest") != "none" {
			t.Errorf("in the cache: %v", rows)
		}
		if st := pc.Status(); st.Unsent != 1 || st.Flags["reboot_requested"] || st.Flags["installation_pending"] {
			t.Errorf("afterwards: %d unsent, flags %v", st.Unsent, st.Flags)
		}
	})
	l.Run("nothing_is_done_twice", func(t *testing.T) {
		pc.Boot()
		equal(t, "what the script did", read(t, trace), "128.0 in de\n")
	})
	l.Server.Start()
	l.Run("results_at_the_next_contact", func(t *testing.T) {
		equal(t, "before", pc.State("firefox"), "not_installed  setup ")
		pc.Fire("timer").OK(t)
		equal(t, "after", pc.State("firefox"), "installed 128.0 none successful")
		if st := pc.Status(); st.Unsent != 0 {
			t.Errorf("%d unsent", st.Unsent)
		}
	})
	l.Run("log_at_the_next_contact", func(t *testing.T) {
		text, _ := l.Call("log_read", "instlog", pc.ID).(string)
		for _, want := range []string{"firefox", "alpha", "300000"} {
			if !strings.Contains(text, want) {
				t.Errorf("the server's log has no %q:\n%s", want, text)
			}
		}
	})
	l.Run("nothing_is_left_to_do", func(t *testing.T) {
		if st := pc.Status(); st.Flags["config_cached"] || st.Flags["reboot_requested"] {
			t.Errorf("flags %v", st.Flags)
		}
	})
}

// depotTree is what the depot holds of a product, without the seed's list of its files.
func depotTree(l *lab.Lab, product string) map[string]string {
	tree := l.Tree(l.Server.Depot(product))
	delete(tree, product+".files")
	return tree
}
