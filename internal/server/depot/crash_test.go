package depot

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// A child of this test opens the depot, begins what it is told, and kills itself
// at a step: with SIGKILL, as the kernel would.
func TestMain(m *testing.M) {
	if job := os.Getenv("DEPOT_TEST_CHILD"); job != "" {
		fmt.Fprintln(os.Stderr, "child:", child(strings.Fields(job)))
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func child(job []string) error {
	dir, verb, at, mode := job[0], job[1], job[2], job[3]
	p, err := openPlace(dir)
	if err != nil {
		return err
	}
	p.reached = func(step string) {
		if step == at {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill()
			select {}
		}
	}
	if mode == "renames" {
		p.exchange = func(string, string) error { return atomicfile.ErrNotSupported }
	}
	if err := p.Recover(context.Background()); err != nil {
		return err
	}
	if verb == "remove" {
		_, err = p.Remove(context.Background(), tester, "editor", false)
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, verb))
	if err != nil {
		return err
	}
	_, err = p.Install(context.Background(), tester, verb, bytes.NewReader(data), int64(len(data)), Options{})
	return err
}

func runChild(t *testing.T, job ...string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DEPOT_TEST_CHILD="+strings.Join(job, " "))
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child was not killed at %q: %v\n%s", job, err, out)
	}
}

var installSteps = []string{"received", "unpacked", "locked", "preinst", "postinst", "indexed", "durable", "swapped", "committed", "cleaned"}

// Killed at any step, the depot has after a restart the old version or the new
// one, tree and rows agreeing, nothing left over, and takes the next package.
func TestKilledAtEveryStep(t *testing.T) {
	scripts := pkg{"OPSI/preinst": "#!/bin/sh\nexit 0\n", "OPSI/postinst": "#!/bin/sh\necho x > \"$CLIENT_DATA_DIR/new\"\n"}
	fresh := newPlace(t)
	fresh.install(t, "2.0-1", scripts)
	after := fresh.state(t)
	package2 := editor("2.0-1", scripts).build(t)
	type start struct {
		name    string
		prepare func(t *testing.T, p *place)
	}
	for _, s := range []start{
		{"first", func(*testing.T, *place) {}},
		{"upgrade", func(t *testing.T, p *place) { p.install(t, "1.0-1", nil) }},
		{"reinstall", func(t *testing.T, p *place) { p.install(t, "2.0-1", scripts) }},
		// Somebody changed the published tree by hand: it still comes back as it was.
		{"drifted", func(t *testing.T, p *place) {
			p.install(t, "1.0-1", nil)
			if err := os.WriteFile(p.path("editor", "setup.fern"), []byte("drift"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, mode := range []string{"exchange", "renames"} {
			for _, step := range append(installSteps, "withdrawn") {
				if step == "withdrawn" && (mode == "exchange" || s.name == "first") {
					continue
				}
				t.Run(s.name+"/"+mode+"/"+step, func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					p := reopen(t, dir)
					s.prepare(t, p)
					before := p.state(t)
					p.close()
					if err := os.WriteFile(filepath.Join(dir, "editor_2.0-1.opsi"), package2, 0o644); err != nil {
						t.Fatal(err)
					}
					runChild(t, dir, "editor_2.0-1.opsi", step, mode)

					want := before
					if step == "committed" || step == "cleaned" {
						want = after
					}
					p = reopen(t, dir)
					if diff := cmp.Diff(want, p.state(t)); diff != "" {
						t.Error(diff)
					}
					p.install(t, "2.0-1", scripts)
					if diff := cmp.Diff(after, p.state(t)); diff != "" {
						t.Error(diff)
					}
				})
			}
		}
	}
}

func TestRemoveKilledAtEveryStep(t *testing.T) {
	for _, step := range []string{"locked", "durable", "withdrawn", "committed", "cleaned"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := reopen(t, dir)
			want := p.state(t)
			p.install(t, "1.0-1", nil)
			if step == "locked" || step == "durable" || step == "withdrawn" {
				want = p.state(t)
			}
			p.close()
			runChild(t, dir, "remove", step, "exchange")
			if diff := cmp.Diff(want, reopen(t, dir).state(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What recovery itself leaves when it is killed, it ends the next time. Its
// only visible steps are renames, so it is run on what each of them leaves.
func TestRecoverTwice(t *testing.T) {
	dir := t.TempDir()
	p := reopen(t, dir)
	p.install(t, "1.0-1", nil)
	before := p.state(t)
	p.close()
	if err := os.WriteFile(filepath.Join(dir, "editor_2.0-1.opsi"), editor("2.0-1", nil).build(t), 0o644); err != nil {
		t.Fatal(err)
	}
	runChild(t, dir, "editor_2.0-1.opsi", "swapped", "renames")
	// The first rename of restore, then the power fails.
	p, err := openPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	left, err := os.ReadDir(p.path(stagingDir))
	if err != nil || len(left) != 1 {
		t.Fatalf("staging: %v, %v", left, err)
	}
	if err := os.Rename(p.path("editor"), p.path(stagingDir, left[0].Name(), treeDir)); err != nil {
		t.Fatal(err)
	}
	if err := p.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, p.state(t)); diff != "" {
		t.Error(diff)
	}
}

// An error after the swap is undone at once: the commit fails, the caller does
// not wait any longer, or the database is gone and the next start has to do it.
func TestUndo(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, p *place, dir string, cancel func()) (step string, act func())
		says  string
		gone  bool
	}{
		{"commit fails", func(t *testing.T, p *place, dir string, _ func()) (string, func()) {
			return "swapped", func() {
				db, err := sqlite.Open(filepath.Join(dir, "fernwerk.db"))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				for _, what := range []string{"INSERT", "UPDATE"} {
					_, err = db.Write.Exec(`CREATE TRIGGER "refuse ` + what + `" BEFORE ` + what + ` ON "depotTree" BEGIN SELECT RAISE(ABORT, 'refused'); END`)
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}, "refused", false},
		{"database gone", func(_ *testing.T, p *place, _ string, _ func()) (string, func()) { return "swapped", p.close }, "closed", true},
		{"caller gone", func(_ *testing.T, _ *place, _ string, cancel func()) (string, func()) { return "preinst", cancel }, "canceled", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			p := reopen(t, dir)
			p.install(t, "1.0-1", nil)
			before := p.state(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			at, act := test.spoil(t, p, dir, cancel)
			p.reached = func(step string) {
				if step == at {
					act()
				}
			}
			data := editor("2.0-1", pkg{"OPSI/postinst": "#!/bin/sh\nexit 0\n"}).build(t)
			_, err := p.Install(ctx, tester, "editor_2.0-1.opsi", bytes.NewReader(data), int64(len(data)), Options{})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
			if test.gone {
				p = reopen(t, dir)
			}
			if diff := cmp.Diff(before, p.state(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
