package runonce

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// fataler is a test, or a rapid one.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// signed is what an administrator signed.
type signed struct {
	files map[string]string
	away  bool // no server in reach
}

func (s *signed) Refresh(context.Context) error {
	if s.away {
		return errors.New("no server in reach")
	}
	return nil
}

func (s *signed) Digest(name string) ([32]byte, bool) {
	text, ok := s.files[name]
	return sha256.Sum256([]byte(text)), ok
}

func (s *signed) Content(_ context.Context, name string) ([]byte, error) {
	text, ok := s.files[name]
	if !ok || s.away {
		return nil, fleet.Errorf(fleet.NotFound, "%s is not signed", name)
	}
	return []byte(text), nil
}

// publisher is a server: what it offers, and what it was told.
type publisher struct {
	mu      sync.Mutex
	offer   update.Offer
	version int
	reports map[string]update.Report // by key
	calls   int
	fault   error
}

func (p *publisher) Ask(_ context.Context, tag string) (*update.Offer, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := fmt.Sprint(p.version)
	if tag == now {
		return nil, now, p.fault
	}
	o := p.offer
	return &o, now, p.fault
}

func (p *publisher) Report(_ context.Context, r update.Report) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls++; p.fault != nil {
		return p.fault
	}
	if err := r.Check(); err != nil {
		return err
	}
	if r.Revision > p.reports[r.Key].Revision {
		p.reports[r.Key] = r
	}
	return nil
}

// machine is a host: its disk, its boots, and what it is offered.
type machine struct {
	dir    string
	boot   int
	signed *signed
	server *publisher
}

func newMachine(t fataler, dir string) *machine {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Fatal("these scripts are for /bin/sh")
	}
	return &machine{dir: dir, boot: 1, signed: &signed{files: map[string]string{}}, server: &publisher{reports: map[string]update.Report{}}}
}

func (m *machine) marks() string { return filepath.Join(m.dir, "marks") }

// marked are the scripts' own marks, in order.
func (m *machine) marked() []string {
	data, _ := os.ReadFile(m.marks())
	return strings.Fields(string(data))
}

func header(number int) update.Header {
	return update.Header{Number: number, ID: fmt.Sprintf("u%d", number), Title: "a test", Audience: update.Hosts, Timeout: time.Minute,
		OnFailure: update.Stop, OnInterrupt: update.Ask}
}

// publish signs and offers an update whose script leaves its mark.
func (m *machine) publish(h update.Header, script string) {
	body := fmt.Sprintf("echo %s >>'%s'\n%s\n", update.Name(h.Number), m.marks(), script)
	m.signed.files[update.Target(h.Number)] = "#!/bin/sh\n" + h.Text() + body
	m.server.offer.Offered = append(m.server.offer.Offered, update.Name(h.Number))
	m.server.version++
}

// start opens the database as a start of the agent does.
func (m *machine) start(t fataler, wrap func(Store) Store) (*Runner, func()) {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(m.dir, "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(context.Background(), db, time.Now, Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	var st Store = s
	if wrap != nil {
		st = wrap(s)
	}
	r := New(Config{Store: st, Dir: filepath.Join(m.dir, "updates"), HostID: "pc1.example.org", Boot: fmt.Sprint("boot", m.boot), Platform: "linux", NodeType: "vnode",
		Trust: m.signed, Server: m.server, Log: slog.New(slog.DiscardHandler),
		Timing: func(context.Context) (Timing, error) { return Timing{}, nil }})
	return r, func() { db.Close() }
}

// life is one start, one round, and a stop.
func (m *machine) life(t fataler) error {
	t.Helper()
	r, stop := m.start(t, nil)
	defer stop()
	return m.round(r)
}

func (m *machine) round(r *Runner) error {
	ctx := context.Background()
	if err := errors.Join(r.settle(ctx), r.clear()); err != nil {
		return err
	}
	return r.Round(ctx)
}

// states are the reported states by number, of the newest attempt.
func (m *machine) states() map[string]update.State {
	newest := map[string]update.Report{}
	for _, r := range m.server.reports {
		if r.Attempt > 0 && r.Attempt >= newest[r.Number].Attempt {
			newest[r.Number] = r
		}
	}
	out := map[string]update.State{}
	for n, r := range newest {
		out[n] = r.State
	}
	return out
}

func (m *machine) expect(t *testing.T, marks string, states map[string]update.State) {
	t.Helper()
	if got := strings.Join(m.marked(), " "); got != marks {
		t.Errorf("ran %q, not %q", got, marks)
	}
	got := m.states()
	for n, want := range states {
		if got[n] != want {
			t.Errorf("%s is %q, not %q", n, got[n], want)
		}
	}
	if len(got) != len(states) {
		t.Errorf("reported %v, not %v", got, states)
	}
}

func TestRound_InOrderOnce(t *testing.T) {
	m := newMachine(t, t.TempDir())
	h := header(18)
	h.After = []int{17}
	m.publish(h, "")
	m.publish(header(17), `echo "$FERNWERK_UPDATE $FERNWERK_UPDATE_ID $FERNWERK_UPDATE_ATTEMPT $FERNWERK_HOST_ID $HOME"; [ -z "$SECRET" ] && pwd && ls -la "$TMPDIR"`)
	t.Setenv("SECRET", "of the agent")
	for range 3 {
		if err := m.life(t); err != nil {
			t.Fatal(err)
		}
	}
	m.expect(t, "017 018", map[string]update.State{"017": update.Done, "018": update.Done})
	if m.server.calls != 2 {
		t.Errorf("%d reports", m.server.calls)
	}
	for _, r := range m.server.reports {
		if r.Number == "017" && !strings.HasPrefix(r.Output, "017 u17 1 pc1.example.org ") {
			t.Errorf("output %q", r.Output)
		}
	}
	left, _ := filepath.Glob(filepath.Join(m.dir, "updates", "[sw]*", "*"))
	if info, err := os.Stat(filepath.Join(m.dir, "updates")); err != nil || info.Mode().Perm() != 0o700 || len(left) > 0 {
		t.Errorf("folder %v, %v, left %q", info.Mode(), err, left)
	}
}

func TestRound_Failure(t *testing.T) {
	m := newMachine(t, t.TempDir())
	goes := header(1)
	goes.OnFailure = update.Continue
	m.publish(goes, "exit 3")
	m.publish(header(2), "exit 4")
	m.publish(header(3), "")
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "001 002", map[string]update.State{"001": update.Failed, "002": update.Failed})
	r, stop := m.start(t, nil)
	steps, err := r.List(t.Context())
	if err != nil || steps[2].Do != Hold || steps[2].Why != "waits for 002" || !strings.Contains(steps[1].Why, "exit code 4; decide with: fernwerk-agent updates decide 002") {
		t.Errorf("%+v, %v", steps, err)
	}
	if err := r.Decide(t.Context(), "003", "skip"); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("%v", err)
	}
	if err := r.Decide(t.Context(), "002", "skip"); err != nil {
		t.Fatal(err)
	}
	if err := r.Decide(t.Context(), "002", "retry"); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("decided twice: %v", err)
	}
	stop()
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "001 002 003", map[string]update.State{"001": update.Failed, "002": update.Skipped, "003": update.Done})
}

// A decision on the server counts for the attempt that it was about, and for no
// other.
func TestRound_DecisionOfTheServer(t *testing.T) {
	m := newMachine(t, t.TempDir())
	m.publish(header(2), "exit 4")
	for range 3 {
		if err := m.life(t); err != nil {
			t.Fatal(err)
		}
		if m.server.offer.Decisions == nil {
			m.server.offer.Decisions = map[string]string{}
			for key := range m.server.reports {
				m.server.offer.Decisions[key] = update.Retry
			}
		}
		m.server.version++
	}
	m.expect(t, "002 002", map[string]update.State{"002": update.Failed})
}

func TestRound_Reboot(t *testing.T) {
	m := newMachine(t, t.TempDir())
	m.publish(header(7), `[ "$FERNWERK_UPDATE_REBOOTS" = 2 ] || exit 194`)
	m.publish(header(8), "")
	for _, boots := range []int{1, 1, 2, 2, 3, 3} {
		m.boot = boots
		if err := m.life(t); err != nil {
			t.Fatal(err)
		}
	}
	m.expect(t, "007 007 007 008", map[string]update.State{"007": update.Done, "008": update.Done})
	m = newMachine(t, t.TempDir())
	m.publish(header(7), "exit 194")
	for m.boot = range 2 * maxReboots {
		if err := m.life(t); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.marked()); n != maxReboots+1 {
		t.Errorf("%d boots", n)
	}
}

func TestRound_ChangedContentNeverRunsAgain(t *testing.T) {
	m := newMachine(t, t.TempDir())
	m.publish(header(5), "exit 1")
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	r, stop := m.start(t, nil)
	if err := r.Decide(t.Context(), "005", update.Retry); err != nil {
		t.Fatal(err)
	}
	stop()
	m.server.offer.Offered = nil
	m.publish(header(5), "exit 0")
	m.publish(header(6), "")
	for range 2 {
		if err := m.life(t); err != nil {
			t.Fatal(err)
		}
	}
	m.expect(t, "005 006", map[string]update.State{"005": update.Failed, "006": update.Done})
	var changed int
	for _, r := range m.server.reports {
		if r.State == update.Changed && r.Attempt == 0 {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("told %d times that it changed", changed)
	}
}

// The server is asked at the start, then from a timer; a wake-up comes before it.
func TestServe_AsksAtTheStartAndFromATimer(t *testing.T) {
	m := newMachine(t, t.TempDir())
	asked := make(chan string, 100)
	every := time.Millisecond
	r, stop := m.start(t, nil)
	defer stop()
	r.cfg.Server = &counted{m.server, asked}
	r.cfg.Timing = func(context.Context) (Timing, error) { return Timing{Interval: every, Spread: time.Millisecond}, nil }
	serve := func(times int, wake bool) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Serve(ctx) }()
		for range times {
			<-asked
			if wake {
				if err := r.Now(); err != nil {
					t.Error(err)
				}
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
	serve(3, false)
	every = 0 // at the start only, and when somebody wants it
	serve(3, true)
	every = time.Hour
	serve(1, false)
	r.cfg.Refused = func() error { return errors.New("the policy is plain-opsi") }
	if err := r.Now(); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("%v", err)
	}
	m.publish(header(1), "")
	if err := r.Round(t.Context()); err != nil || len(asked) > 0 || len(m.marked()) > 0 {
		t.Errorf("a host that believes nobody asks, or runs: %v", err)
	}
}

// A machine that has just joined asks at once, one of a fleet that is switched on in the
// morning some time within the first minute.
func TestServe_NewcomerDoesNotWait(t *testing.T) {
	m := newMachine(t, t.TempDir())
	r, stop := m.start(t, nil)
	defer stop()
	long := Timing{Interval: time.Hour, Spread: time.Hour}
	if wait := r.first(t.Context(), long); wait != 0 {
		t.Errorf("a newcomer waits for %v", wait)
	}
	m.publish(header(1), "")
	if err := r.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	most := time.Duration(0)
	for range 20 {
		most = max(most, r.first(t.Context(), long))
	}
	if most == 0 || most > firstSpread {
		t.Errorf("a machine that was here before waits for up to %v", most)
	}
}

// counted tells of each question.
type counted struct {
	*publisher
	asked chan string
}

func (c *counted) Ask(ctx context.Context, tag string) (*update.Offer, string, error) {
	select {
	case c.asked <- tag:
	default:
	}
	return c.publisher.Ask(ctx, tag)
}

// Whoever moves a damaged database away does not have everything run again.
func TestRound_DatabaseLost(t *testing.T) {
	m := newMachine(t, t.TempDir())
	for n, policy := range []string{update.Retry, update.Skip, update.Ask, update.Ask} {
		h := header(n + 1)
		h.OnInterrupt = policy
		m.publish(h, "")
	}
	m.server.offer.Offered = m.server.offer.Offered[:3]
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"agent.db", "agent.db-wal", "agent.db-shm"} {
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	m.server.reports = map[string]update.Report{}
	m.server.offer.Offered = []string{"001", "002", "003", "004"}
	m.server.version++
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "001 002 003 001", map[string]update.State{"001": update.Done, "002": update.Skipped, "003": update.Interrupted})
	if len(m.server.reports) != 4 {
		t.Errorf("%d attempts are reported", len(m.server.reports))
	}
}

func TestRound_Refuses(t *testing.T) {
	m := newMachine(t, t.TempDir())
	m.publish(header(1), "")
	m.signed.files[update.Target(1)] = strings.Replace(m.signed.files[update.Target(1)], "number: 001", "number: 002", 1)
	m.publish(header(3), "")
	if err := m.life(t); err == nil || !strings.Contains(err.Error(), "says that it is 002") {
		t.Errorf("%v", err)
	}
	delete(m.signed.files, update.Target(1))
	if err := m.life(t); err == nil || !strings.Contains(err.Error(), "is not signed") {
		t.Errorf("%v", err)
	}
	m.expect(t, "", nil) // 003 waits
	m = newMachine(t, t.TempDir())
	h := header(1)
	h.Platforms = []string{"windows"}
	m.publish(h, "")
	h = header(2)
	h.Audience = update.Feed
	m.publish(h, "")
	h = header(3)
	h.NodeTypes = []string{"vnode"}
	m.publish(h, "")
	h = header(4) // that the server offers it makes it nothing for this machine
	h.NodeTypes = []string{"gpu"}
	m.publish(h, "")
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "003", map[string]update.State{"003": update.Done})
}

// A script that forks, does not end and prints without end is stopped, with all
// that it started, and the next one runs (attack 28).
func TestRun_Bounds(t *testing.T) {
	m := newMachine(t, t.TempDir())
	h := header(1)
	h.Timeout, h.OnFailure = time.Second, update.Continue
	alive := filepath.Join(m.dir, "alive")
	m.publish(h, "(while :; do echo x >>'"+alive+"'; sleep 0.05; done) &\n(while :; do sleep 1000; done) &\nwhile :; do echo output without end; done")
	m.publish(header(2), "")
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "001 002", map[string]update.State{"001": update.Failed, "002": update.Done})
	for _, r := range m.server.reports {
		if r.Number == "001" && (len(r.Output) > update.MaxOutput+100 || !strings.Contains(r.Output, "bytes left out") || !strings.Contains(r.Reason, "did not end within its time")) {
			t.Errorf("%d bytes of output, %s", len(r.Output), r.Reason)
		}
	}
	before, err := os.ReadFile(alive)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.life(t); err != nil { // some time passes
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(alive); len(after) != len(before) {
		t.Error("a child of the script lives on")
	}
}

// A report whose answer was lost is sent again under the same key; one that could
// not be sent at all waits (attacks 24 and 25).
func TestRound_AnswersLost(t *testing.T) {
	m := newMachine(t, t.TempDir())
	m.publish(header(1), "")
	m.server.fault = errors.New("the line is cut")
	if err := m.life(t); err == nil {
		t.Error("no server is no error")
	}
	m.server.fault = nil
	r, stop := m.start(t, func(s Store) Store {
		return &tripwire{Store: s, at: 5, before: true, trip: func() {}} // settle, keep, intend, conclude, and not the note that it was told
	})
	m.round(r) // the power is cut when the server has the report; the round still tries again
	stop()
	if m.server.calls != 2 || len(m.server.reports) != 1 {
		t.Fatalf("%d calls, %d reports", m.server.calls, len(m.server.reports))
	}
	if err := m.life(t); err != nil {
		t.Fatal(err)
	}
	if m.server.calls != 3 {
		t.Errorf("%d calls", m.server.calls)
	}
	m.expect(t, "001", map[string]update.State{"001": update.Done})
	if err := m.life(t); err != nil || m.server.calls != 3 {
		t.Errorf("%d calls, %v", m.server.calls, err)
	}
}
