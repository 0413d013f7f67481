package server_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/backup"
	"github.com/fernwerk/fernwerk/test/require"
)

// places are where a server can keep its rows.
var places = map[string]func(t *testing.T) server.Config{
	"SQLite": func(t *testing.T) server.Config { return server.Config{Data: filepath.Join(t.TempDir(), "data")} },
	"PostgreSQL": func(t *testing.T) server.Config {
		return server.Config{Data: filepath.Join(t.TempDir(), "data"), Database: require.Postgres(t)}
	},
}

func hosts(t *testing.T, r *running) []any {
	t.Helper()
	return call(t, r.client(t, "admin", password), "host_getObjects", []any{}, map[string]any{"type": "OpsiClient"}).([]any)
}

// A backup that is taken while the server works is put in place of nothing, on
// the same engine or the other; the clients' authority, the rows and the
// accounts are the same, and the history is another.
func TestBackup(t *testing.T) {
	for from, source := range places {
		for to, target := range places {
			t.Run(from+" to "+to, func(t *testing.T) {
				cfg := source(t)
				cfg.ID = "first.example.org"
				r := start(t, cfg)
				c := r.client(t, "admin", password)
				for i := range 20 {
					call(t, c, "host_createOpsiClient", fmt.Sprintf("pc%d.example.org", i))
				}
				call(t, c, "log_write", "instlog", "done\n", "pc1.example.org")
				must := hosts(t, r)

				busy, stop := context.WithCancel(t.Context())
				writing := make(chan struct{})
				go func() { // somebody goes on working
					defer close(writing)
					for i := 0; busy.Err() == nil; i++ {
						c.Call(busy, methods.Actor{}, "host_createOpsiClient", methods.Pos(fmt.Sprintf("later%d.example.org", i)))
					}
				}()
				file := filepath.Join(t.TempDir(), "x.backup")
				contents, err := server.Backup(t.Context(), cfg, file, server.BackupOptions{Depot: true, Logs: true})
				stop()
				<-writing
				if err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info, err)
				}
				if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
					t.Errorf("beside it are %v", left)
				}
				if checked, err := backup.Check(t.Context(), file); err != nil || !cmp.Equal(checked.Position, contents.Position) {
					t.Errorf("%+v, %v", checked, err)
				}
				trust := r.trust(t)
				r.stop()

				there := target(t)
				if _, err := server.Restore(t.Context(), there, file, false); err != nil {
					t.Fatal(err)
				}
				there.AdminPassword = "another one"
				again := start(t, there)
				if again.ID() != "first.example.org" {
					t.Errorf("it is %s", again.ID())
				}
				if got := again.trust(t); !got.RootCAs.Equal(trust.RootCAs) {
					t.Error("it has another authority")
				}
				got := map[any]any{}
				for _, h := range hosts(t, again) {
					got[h.(map[string]any)["id"]] = h
				}
				for _, h := range must {
					if d := cmp.Diff(h, got[h.(map[string]any)["id"]]); d != "" {
						t.Errorf("host (-before +after):\n%s", d)
					}
				}
				if v := call(t, again.client(t, "admin", password), "log_read", "instlog", "pc1.example.org"); v != "done\n" {
					t.Errorf("log %q", v)
				}
				again.stop()

				// What is there is not replaced by accident.
				if _, err := server.Restore(t.Context(), there, file, false); fleet.CodeOf(err) != fleet.Exists || !strings.Contains(fleet.HintOf(err), "--force") {
					t.Errorf("a used place: %v", err)
				}
				replaced, err := server.Restore(t.Context(), there, file, true)
				if err != nil || replaced.Replaced == "" {
					t.Fatalf("%+v, %v", replaced, err)
				}
				if _, err := os.Stat(filepath.Join(replaced.Replaced, "cluster.key")); err != nil {
					t.Error(err)
				}
				again = start(t, there)
				if len(hosts(t, again)) < len(must) {
					t.Error("hosts are lost")
				}
			})
		}
	}
}

// A file that is damaged anywhere is refused before anything is touched.
func TestRestore_RefusesWhatIsDamaged(t *testing.T) {
	cfg := places["SQLite"](t)
	r := start(t, cfg)
	call(t, r.client(t, "admin", password), "host_createOpsiClient", "pc1.example.org")
	dir := t.TempDir()
	file := filepath.Join(dir, "x.backup")
	if _, err := server.Backup(t.Context(), cfg, file, server.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{"empty": {}, "text": []byte("hello"), "cut": good[:len(good)-10], "half": good[:len(good)/2]}
	for _, at := range []int{len(good) / 4, len(good) / 2, len(good) - 20} {
		flipped := bytes.Clone(good)
		flipped[at] ^= 0x10
		bad[fmt.Sprintf("flipped at %d", at)] = flipped
	}
	target := server.Config{Data: filepath.Join(dir, "new")}
	for name, data := range bad {
		broken := filepath.Join(dir, "broken")
		if err := os.WriteFile(broken, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Restore(t.Context(), target, broken, true); err == nil || fleet.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(target.Data); err == nil {
			t.Fatalf("%s: the folder was touched", name)
		}
	}
	if _, err := server.Restore(t.Context(), cfg, file, true); fleet.CodeOf(err) != fleet.Locked {
		t.Errorf("under a running server: %v", err)
	}
	if _, err := server.Backup(t.Context(), server.Config{Data: filepath.Join(dir, "nothing")}, filepath.Join(dir, "y"), server.BackupOptions{}); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("a backup of nothing: %v", err)
	}
	if _, err := server.Backup(t.Context(), cfg, filepath.Join(dir, "no", "folder"), server.BackupOptions{}); err == nil {
		t.Error("it writes into no folder")
	}
}

// No server starts on half of a backup, and the next restore is whole.
func TestRestore_Interrupted(t *testing.T) {
	cfg := places["SQLite"](t)
	r := start(t, cfg)
	file := filepath.Join(t.TempDir(), "x.backup")
	if _, err := server.Backup(t.Context(), cfg, file, server.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	r.stop()
	target := places["SQLite"](t)
	if err := os.MkdirAll(target.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(target.Data, "restoring"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	target.Listen = "127.0.0.1:0"
	if s, err := server.New(t.Context(), target); fleet.CodeOf(err) != fleet.Conflict || !strings.Contains(fleet.HintOf(err), "restore again") {
		if err == nil {
			s.Close()
		}
		t.Errorf("it starts: %v", err)
	}
	if _, err := server.Restore(t.Context(), target, file, false); err != nil {
		t.Fatal(err)
	}
	if err := start(t, target).Server; err == nil {
		t.Error("it does not start")
	}
}

// A server of the same database that runs keeps its rows.
func TestRestore_BesideARunningServer(t *testing.T) {
	cfg := places["PostgreSQL"](t)
	start(t, cfg)
	file := filepath.Join(t.TempDir(), "x.backup")
	if _, err := server.Backup(t.Context(), cfg, file, server.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	other := server.Config{Data: filepath.Join(t.TempDir(), "other"), Database: cfg.Database}
	if _, err := server.Restore(t.Context(), other, file, true); fleet.CodeOf(err) != fleet.Locked {
		t.Error(err)
	}
}
