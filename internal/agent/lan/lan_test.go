package lan

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
)

// machine is the machine that the service is on, and its server, in a bubble.
type machine struct {
	t     *testing.T
	mu    sync.Mutex // the test's but while time passes
	at    []netip.Prefix
	up    bool
	came  chan struct{}
	moved chan struct{}
	looks int
	asked []string // what the server was told, with the time
	err   error
	log   bytes.Buffer
	began time.Time
}

// with runs the service on a machine until fn is done.
func with(t *testing.T, fn func(m *machine)) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{t: t, at: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24")}, came: make(chan struct{}, 1), moved: make(chan struct{}, 1), began: time.Now()}
		s := &Service{
			Here: func() []netip.Prefix { defer m.lock()(); m.looks++; return m.at },
			Up:   func() bool { defer m.lock()(); return m.up },
			Came: m.came, Moved: m.moved,
			Ask: func(_ context.Context, path string, in, out any) error {
				defer m.lock()()
				text, err := in.(lan.Report).Encode()
				if err != nil || path != lan.Path {
					t.Error(path, err)
				}
				if _, err := lan.Parse(text); err != nil {
					t.Error(err)
				}
				m.asked = append(m.asked, fmt.Sprint(time.Since(m.began).Round(time.Second), " ", string(text)))
				return m.err
			},
			Log: slog.New(slog.NewTextHandler(&m.log, nil)),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx) }()
		synctest.Wait()
		m.mu.Lock()
		fn(m)
		m.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// changed says that addresses may have changed.
func (m *machine) changed() {
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

func (m *machine) lock() (unlock func()) {
	m.mu.Lock()
	return m.mu.Unlock
}

// pass lets time pass, and returns what the server was told meanwhile.
func (m *machine) pass(d time.Duration) []string {
	was := len(m.asked)
	m.mu.Unlock()
	<-time.After(d)
	synctest.Wait()
	m.mu.Lock()
	return m.asked[was:]
}

func (m *machine) wants(what string, got []string, ends ...string) {
	m.t.Helper()
	good := len(got) == len(ends)
	for i := range min(len(got), len(ends)) {
		good = good && strings.HasSuffix(got[i], ends[i])
	}
	if !good {
		m.t.Errorf("%s: %q, want %q", what, got, ends)
	}
}

func TestServe(t *testing.T) {
	const first, second = `{"lan":["192.168.1.2/24"]}`, `{"lan":["192.168.7.9/24"]}`
	with(t, func(m *machine) {
		m.wants("in no tunnel", m.pass(5*time.Hour))
		m.up = true
		m.came <- struct{}{}
		m.wants("a tunnel came up", m.pass(time.Second), first)
		m.wants("at rest", m.pass(45*time.Minute))
		m.wants("an hour later", m.pass(15*time.Minute), first)
		m.came <- struct{}{}
		m.wants("it came up again", m.pass(time.Second), first)
		looks := m.looks
		for range 1000 {
			m.changed()
			m.pass(time.Millisecond)
		}
		m.wants("other interfaces change", m.pass(time.Second))
		if m.looks-looks > 6 {
			t.Errorf("the machine was looked at %d times in a second", m.looks-looks)
		}
		m.at = []netip.Prefix{netip.MustParsePrefix("192.168.7.9/24"), netip.MustParsePrefix("203.0.113.4/24"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("192.168.7.9/24")}
		m.changed()
		m.wants("it moved", m.pass(time.Second), second)
		m.at = nil
		m.changed()
		m.wants("unplugged", m.pass(time.Second), `{"lan":[]}`)
		m.up = false
		m.at = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24")}
		m.changed()
		m.wants("plugged in, no tunnel yet", m.pass(time.Second))
		m.up = true
		m.came <- struct{}{}
		m.wants("the tunnel is back", m.pass(time.Second), first)
	})
}

// A server that is away is asked again, ever more seldom; an older one, and one that
// says no, is left alone for an hour.
func TestServe_ServerSaysNo(t *testing.T) {
	with(t, func(m *machine) {
		m.up, m.err = true, fleet.Errorf(fleet.Unavailable, "away")
		if got := m.pass(time.Hour); len(got) < 10 || len(got) > 25 {
			t.Errorf("asked %d times in an hour: %q", len(got), got)
		}
		for range 1000 {
			m.changed()
			m.pass(time.Millisecond)
		}
		if got := m.pass(time.Second); len(got) > 1 {
			t.Errorf("interfaces that change have it asked %d times", len(got))
		}
		m.err = nil
		if got := m.pass(6 * time.Minute); len(got) != 1 {
			t.Errorf("back: %q", got)
		}
		if log := m.log.String(); strings.Contains(log, "away") {
			t.Errorf("what others say: %s", log)
		}
	})
	for code, said := range map[fleet.Code]bool{fleet.NotFound: false, fleet.Denied: true} {
		with(t, func(m *machine) {
			m.up, m.err = true, fleet.Errorf(code, "no such thing")
			if got := m.pass(49 * time.Minute); len(got) != 1 {
				t.Errorf("%s: asked %q", code, got)
			}
			if log := m.log.String(); strings.Contains(log, "WARN") != said {
				t.Errorf("%s: %s", code, log)
			}
		})
	}
}
