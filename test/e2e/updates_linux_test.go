package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require"
)

// office is a server with a trust root and three signed updates, one of each
// policy for an interruption. Each script leaves a mark in the file of its host.
type office struct {
	*site.Server
	dir   string
	trust string
	files []string // of the updates
	root  string   // SHA-256 of the root that hosts begin with

	mu    sync.Mutex
	hosts int
}

// policies are those of the updates 001, 002 and 003.
var policies = []string{update.Retry, update.Ask, update.Skip}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{Server: serve(t), dir: t.TempDir()}
	o.trust = filepath.Join(o.dir, "trust")
	o.fernwerk(t, "trust", "init", o.trust, "--root-keys", "1", "--threshold", "1")
	root, err := os.ReadFile(filepath.Join(o.trust, "roots", "1.root.json"))
	must(t, err)
	sum := sha256.Sum256(root)
	o.root = hex.EncodeToString(sum[:])
	must(t, os.Mkdir(filepath.Join(o.dir, "marks"), 0o700))
	return o
}

// fernwerk runs the administrator's command line.
func (o *office) fernwerk(t testing.TB, args ...string) string {
	t.Helper()
	env := append(o.Env(), "FERNWERK_TRUST_PASSPHRASE=words that nobody puts together", "FERNWERK_TRUST="+o.trust)
	out, errOut, code, err := o.Programs.Run(t.Context(), env, "fernwerk", args...)
	if err != nil || code != 0 {
		t.Fatalf("fernwerk %s: status %d, %v\n%s", strings.Join(args, " "), code, err, errOut)
	}
	return out
}

// update writes one whose script leaves a mark.
func (o *office) update(t testing.TB, number int, script string, flags ...string) {
	t.Helper()
	id := fmt.Sprintf("u%d", number)
	o.fernwerk(t, append([]string{"update", "new", id, "--in", o.dir, "--number", update.Name(number)}, flags...)...)
	path := filepath.Join(o.dir, update.Name(number)+"-"+id+".sh")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	fmt.Fprintf(f, "echo %s >>%s/marks/$FERNWERK_HOST_ID\n%s\n", update.Name(number), o.dir, script)
	must(t, f.Close())
	o.files = append(o.files, path)
}

// publish signs all updates, and offers them to everybody.
func (o *office) publish(t testing.TB) {
	t.Helper()
	o.fernwerk(t, append([]string{"update", "lint"}, o.files...)...)
	o.fernwerk(t, append([]string{"update", "sign"}, o.files...)...)
	o.fernwerk(t, "trust", "publish")
	for n := range o.files {
		o.fernwerk(t, "update", "publish", update.Name(n+1), "--ring", "100%", "--yes")
	}
}

// joined makes a host that believes the trust root, and asks every second.
func (o *office) joined(t testing.TB) (a *site.Agent, id string) {
	t.Helper()
	o.mu.Lock()
	o.hosts++
	id = fmt.Sprintf("node%d.update.test", o.hosts)
	o.mu.Unlock()
	a = host(t, o.Server, o.URL(), id)
	f, err := os.OpenFile(filepath.Join(a.Data, "agent.conf"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	fmt.Fprint(f, "\n[updates]\ninterval = 1\nspread = 0\n")
	must(t, f.Close())
	path := filepath.Join(a.Data, "identity.json")
	data, err := os.ReadFile(path)
	must(t, err)
	var identity map[string]any
	must(t, json.Unmarshal(data, &identity))
	identity["policy"], identity["trustVersion"], identity["trustSHA256"] = "offline", 1, o.root
	data, err = json.Marshal(identity)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
	return a, id
}

// attempts are those of an update on a host, the oldest first.
func (o *office) attempts(ctx context.Context, number int, host string) ([]attempt, error) {
	v, err := o.Call(ctx, "update_getStatus", update.Name(number), host)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	var list []struct{ Hosts []attempt }
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0].Hosts, nil
}

// settled tells whether all updates came to an end on a host, and decides where a
// person is waited for.
func (o *office) settled(ctx context.Context, host string, decision string) (bool, error) {
	for n := range policies {
		list, err := o.attempts(ctx, n+1, host)
		if err != nil || len(list) == 0 {
			return false, err
		}
		a := list[len(list)-1]
		if a.State == string(update.Interrupted) && a.Policy == update.Ask && a.Decision == "" {
			_, err := o.Call(ctx, "update_decide", update.Name(n+1), host, decision)
			return false, err
		}
		if a.State != string(update.Done) && a.State != string(update.Skipped) {
			return false, fmt.Errorf("%s is %s: %s", update.Name(n+1), a.State, a.Reason)
		}
	}
	return true, nil
}

func (o *office) marks(t testing.TB, host string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, "marks", host))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// judge compares the marks that scripts left with what was reported: each ran
// once, or as many times more as the server was told that it is uncertain.
func (o *office) judge(t testing.TB, name, host string) (uncertain int) {
	t.Helper()
	marks := o.marks(t, host)
	if !slices.IsSorted(marks) {
		t.Errorf("%s: not in order: %v", name, marks)
	}
	for n, policy := range policies {
		list, err := o.attempts(t.Context(), n+1, host)
		must(t, err)
		ran, told := 0, 0
		for _, m := range marks {
			if m == update.Name(n+1) {
				ran++
			}
		}
		for _, a := range list {
			if a.State == string(update.Interrupted) || a.State == string(update.Skipped) {
				told++
			}
		}
		uncertain += told
		switch end := update.State(list[len(list)-1].State); {
		case end == update.Done && ran >= 1 && ran <= 1+told && len(list) == 1+told && (told == 0 || policy != update.Skip):
		case end == update.Skipped && ran <= told && len(list) == told && policy != update.Retry:
		default:
			t.Errorf("%s, %s with policy %s: %d marks, told %+v", name, update.Name(n+1), policy, ran, list)
		}
	}
	return uncertain
}

// watched starts an agent of which each durable step is watched.
func watched(t testing.TB, a *site.Agent, s *site.Steps) {
	t.Helper()
	s.Log = a.Log
	must(t, s.Start(t.Context(), []string{"FERNWERK_BOOT_ID=" + a.BootID}, a.Programs.Path("fernwerk-agent"), "run", "--data", a.Data, "--control", "127.0.0.1:0"))
	t.Cleanup(func() { s.Stop() })
}

// untilSettled waits until an agent has ended, or done what was to be done.
func (o *office) untilSettled(t testing.TB, s *site.Steps, host, decision string) {
	t.Helper()
	await(t, "the updates of "+host+" are done", func() (bool, error) {
		select {
		case <-s.Ended():
			return true, nil
		default:
		}
		return o.settled(t.Context(), host, decision)
	})
}

// TestUpdates_FailedSync has the disk refuse to sync the database, at each of the
// last steps of that kind, once. The agent goes on by itself; what it cannot write
// it does not take for written.
func TestUpdates_FailedSync(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		require.Skip(t, "amd64", "a failed call is made there only")
	}
	o := newOffice(t)
	for n, policy := range policies {
		o.update(t, n+1, "", "--on-interrupt", policy)
	}
	o.publish(t)
	a, id := o.joined(t)
	calm := &site.Steps{}
	watched(t, a, calm)
	o.untilSettled(t, calm, id, "")
	must(t, calm.Stop())
	met, noticed := 0, 0
	for k := len(calm.Made); k > 0 && met < failures; k-- {
		if !strings.HasSuffix(calm.Made[k-1], "agent.db-wal") {
			continue
		}
		name := fmt.Sprintf("failed step %d", k)
		a, id := o.joined(t)
		s := &site.Steps{Kill: k, Fail: true}
		watched(t, a, s)
		o.untilSettled(t, s, id, update.Retry)
		must(t, s.Stop())
		if !s.Met {
			continue
		}
		met++
		must(t, a.Start(t.Context())) // after a kill
		await(t, name+": the updates are done", func() (bool, error) { return o.settled(t.Context(), id, update.Retry) })
		a.Kill()
		o.judge(t, name, id)
		if t.Failed() {
			t.Fatalf("%s\n%s", name, site.Tail(a.Log, 30))
		}
		log, err := os.ReadFile(a.Log)
		must(t, err)
		if strings.Contains(string(log), "cannot commit to the database") || strings.Contains(string(log), "No mark could be left") {
			noticed++
		}
	}
	t.Logf("%d failed calls, of which %d were noticed by what they broke", met, noticed)
	if noticed < failures/2 {
		t.Error("does a call fail?")
	}
}

// failures is how many failed syncs are tried.
const failures = 4

// TestUpdates_KilledAtEveryStep kills the agent before and after every system call
// that makes something durable, from its start until three updates are done and
// reported, and starts it again. Each script ran once then, or the server was told
// that it is uncertain, and the update's policy was followed.
func TestUpdates_KilledAtEveryStep(t *testing.T) {
	o := newOffice(t)
	for n, policy := range policies {
		o.update(t, n+1, "", "--on-interrupt", policy)
	}
	o.publish(t)
	// Undisturbed: how many steps there are.
	a, id := o.joined(t)
	calm := &site.Steps{}
	watched(t, a, calm)
	o.untilSettled(t, calm, id, "")
	must(t, calm.Stop())
	if marks := o.marks(t, id); !slices.Equal(marks, []string{"001", "002", "003"}) || o.judge(t, "undisturbed", id) > 0 {
		t.Fatalf("undisturbed: %v\n%s", marks, site.Tail(a.Log, 30))
	}
	t.Logf("%d durable steps: %s", len(calm.Made), strings.Join(calm.Made, ", "))

	began := time.Now()
	var mu sync.Mutex
	uncertain, kills := 0, 0
	t.Run("kills", func(t *testing.T) {
		for _, after := range []bool{false, true} {
			t.Run(map[bool]string{false: "before", true: "after"}[after], func(t *testing.T) {
				t.Parallel()
				first := 1
				if after { // what is behind a step of the start is before the next one
					first = max(1, slices.IndexFunc(calm.Made, func(s string) bool { return strings.Contains(s, " begun/") })-2)
				}
				for k := first; k <= len(calm.Made); k++ {
					name := fmt.Sprintf("step %d, after %v", k, after)
					a, id := o.joined(t)
					decision := []string{update.Retry, update.Skip}[k%2]
					s := &site.Steps{Kill: k, After: after}
					watched(t, a, s)
					o.untilSettled(t, s, id, decision)
					must(t, s.Stop())
					if s.Met {
						must(t, a.Start(t.Context()))
						await(t, name+": the updates are done", func() (bool, error) { return o.settled(t.Context(), id, decision) })
						a.Kill()
					}
					n := o.judge(t, name, id)
					if t.Failed() {
						t.Fatalf("%s\n%s", name, site.Tail(a.Log, 30))
					}
					mu.Lock()
					uncertain += n
					if s.Met {
						kills++
					}
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d kills and failures in %v; %d times an update was uncertain", kills, time.Since(began).Round(time.Second), uncertain)
	if kills < len(calm.Made) || uncertain == 0 {
		t.Errorf("%d kills of %d, %d uncertain: does the test still meet what it is for?", kills, 2*len(calm.Made), uncertain)
	}
}

// TestUpdates_OnTheMachine is what the machine's own administrator sees: an update
// that goes on after a boot, one that fails and is decided about, one agent only.
func TestUpdates_OnTheMachine(t *testing.T) {
	o := newOffice(t)
	o.update(t, 1, `[ "$FERNWERK_UPDATE_REBOOTS" = 1 ] || exit 194`)
	o.update(t, 2, "echo no luck; exit 3")
	o.update(t, 3, "", "--after", "002")
	o.publish(t)
	a, id := o.joined(t)
	agent := func(want int, args ...string) string {
		t.Helper()
		out, errOut, code, err := o.Programs.Run(t.Context(), nil, "fernwerk-agent", append([]string{"--data", a.Data}, args...)...)
		if err != nil || code != want {
			t.Fatalf("fernwerk-agent %q: status %d, %v\n%s%s", args, code, err, out, errOut)
		}
		return out + errOut
	}
	says := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in:\n%s", w, text)
			}
		}
	}
	state := func(number int, want update.State) {
		t.Helper()
		await(t, fmt.Sprintf("%s is %s", update.Name(number), want), func() (bool, error) {
			list, err := o.attempts(t.Context(), number, id)
			return len(list) > 0 && list[len(list)-1].State == string(want), err
		})
	}
	says(agent(4, "updates", "list"), "fernwerk-agent run") // nobody runs
	must(t, a.Start(t.Context()))
	state(1, update.Rebooting)
	says(agent(0, "updates", "list"), "goes on after the next boot", "waits for 001")
	says(agent(4, "run", "--control", "127.0.0.1:0"), "only one agent can use") // attack 30
	a.Kill()
	must(t, a.Start(t.Context())) // no boot
	says(agent(0, "updates", "list"), "goes on after the next boot")
	a.Kill()
	a.BootID = "second"
	must(t, a.Start(t.Context()))
	state(2, update.Failed)
	says(agent(0, "updates", "log", "002"), "failed (exit 3)", "no luck", "exit code 3")
	says(agent(0, "updates", "list"), "decide with: fernwerk-agent updates decide 002", "waits for 002")
	says(agent(0, "updates", "now", "--dry-run"), "002", "hold")
	agent(2, "updates", "decide", "002", "rety")
	agent(1, "updates", "decide", "001", "retry")
	agent(0, "updates", "decide", "002", "retry")
	await(t, "the second attempt failed", func() (bool, error) {
		list, err := o.attempts(t.Context(), 2, id)
		return len(list) == 2 && list[1].State == string(update.Failed), err
	})
	says(o.fernwerk(t, "update", "decide", "002", id, "skip", "--dry-run"), "where it is failed")
	o.fernwerk(t, "update", "decide", "002", id, "skip")
	state(3, update.Done)
	if marks := o.marks(t, id); !slices.Equal(marks, []string{"001", "001", "002", "002", "003"}) {
		t.Errorf("ran %v", marks)
	}
	says(agent(0, "updates", "list", "--json"), `"state": "skipped"`)
	says(o.fernwerk(t, "update", "status", "001", id), "attempt 1", "reboot", "attempt 2", "done")
	a.Kill()

	// A host that believes no signature runs nothing.
	plain := host(t, o.Server, o.URL(), "plain.update.test")
	must(t, plain.Start(t.Context()))
	a = plain
	says(agent(5, "updates", "list"), "plain-opsi")
	says(agent(5, "updates", "now"), "plain-opsi")
}
