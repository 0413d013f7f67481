package feed_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	agentfeed "github.com/fernwerk/fernwerk/internal/agent/feed"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

// source is a server of a feed.
type source struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string]string
	at     time.Time
	status []int
}

func newSource(t *testing.T) *source {
	s := &source{files: map[string]string{}, at: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		text, ok := s.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(&watched{w, s}, r, "", s.at, strings.NewReader(text))
	}))
	t.Cleanup(s.Close)
	return s
}

type watched struct {
	http.ResponseWriter
	s *source
}

func (w *watched) WriteHeader(status int) {
	w.s.status = append(w.s.status, status)
	w.ResponseWriter.WriteHeader(status)
}

func (s *source) shows(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/feed/"+name], s.at = text, s.at.Add(time.Second)
}

type follower struct {
	t      *testing.T
	source *source
	key    *feed.PrivateKey
	public string
	dir    string
	store  *store.Store
	now    time.Time
	config agentfeed.Config
	noted  int
}

func newFollower(t *testing.T) *follower {
	t.Helper()
	require.Tool(t, "sh")
	f := &follower{t: t, source: newSource(t), dir: t.TempDir(), now: time.Now()}
	db, err := sqlite.Open(filepath.Join(f.dir, "agent.db"))
	f.must(err)
	t.Cleanup(func() { db.Close() })
	f.store, err = store.Open(t.Context(), db, time.Now, agentfeed.Rows)
	f.must(err)
	f.key, f.public = f.newKey()
	f.source.shows("key.asc", f.public)
	f.config = agentfeed.Config{Source: agentfeed.Source{URL: f.source.URL + "/feed/", Fingerprint: f.key.Public().Fingerprint(), Site: "idhal"},
		Dir: filepath.Join(f.dir, "feed"), Store: f.store, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: func() time.Time { return f.now },
		Note:     func(*store.Tx, bool, string) error { f.noted++; return nil },
		Interval: func(context.Context) (time.Duration, error) { return time.Hour, nil }}
	return f
}

func (f *follower) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) newKey() (*feed.PrivateKey, string) {
	k, err := feed.NewKey("idhal", time.Now())
	f.must(err)
	public, err := k.Public().Print()
	f.must(err)
	return k, string(public)
}

func (f *follower) script(k *feed.PrivateKey, serial int64, programs ...string) string {
	f.t.Helper()
	s := feed.Script{Header: feed.Header{Site: "idhal", Serial: serial, Expires: f.now.AddDate(0, 0, 10)}, Markers: filepath.Join(f.dir, "markers")}
	for i, p := range programs {
		s.Updates = append(s.Updates, feed.Update{ID: "00" + string(rune('0'+i)), Title: "T", Stop: true, Program: strings.ReplaceAll(p, "DIR", f.dir)})
	}
	text, err := s.Render()
	f.must(err)
	file, err := k.Sign(text, time.Now())
	f.must(err)
	return string(file)
}

func (f *follower) round() error {
	f.t.Helper()
	s, err := agentfeed.New(f.config)
	f.must(err)
	return s.Round(f.t.Context())
}

func (f *follower) ran() string {
	text, _ := os.ReadFile(filepath.Join(f.dir, "ran"))
	return string(text)
}

func TestRound(t *testing.T) {
	f := newFollower(t)
	const first, second = "echo one >> DIR/ran", "[ -f DIR/allowed ] || exit 7\necho two >> DIR/ran"
	f.source.shows("script.asc", f.script(f.key, 5, first, second))
	if err := f.round(); err == nil || !strings.Contains(err.Error(), "not all updates") {
		t.Errorf("an update that fails: %v", err)
	}
	f.must(os.WriteFile(filepath.Join(f.dir, "allowed"), nil, 0o600))
	f.must(f.round()) // nothing new came, and what failed is tried again
	f.must(f.round())
	if f.ran() != "one\ntwo\n" {
		t.Errorf("ran %q", f.ran())
	}
	if last := f.source.status[len(f.source.status)-1]; last != http.StatusNotModified {
		t.Errorf("asked for what it has: %v", f.source.status)
	}
	// The key is not fetched again.
	other, public := f.newKey()
	f.source.shows("key.asc", public)
	const evil = "echo evil >> DIR/ran"
	for name, c := range map[string]struct{ script, want string }{
		"of a stranger":   {f.script(other, 6, first, second, evil), "not signed with the key"},
		"an older one":    {f.script(f.key, 4, first, second, evil), "lower than 5"},
		"another of it":   {f.script(f.key, 5, first, second, evil), "another one of serial 5"},
		"with text after": {f.script(f.key, 6, first, second, evil) + "echo\n", "after the signed block"},
		"CRLF":            {strings.ReplaceAll(f.script(f.key, 6, first, second, evil), "\n", "\r\n"), "carriage returns"},
		"too large":       {f.script(f.key, 6, evil) + strings.Repeat("x", feed.MaxFile), "larger than"},
	} {
		f.source.shows("script.asc", c.script)
		if err := f.round(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late := f.script(f.key, 6, first, second, evil)
	f.source.shows("script.asc", late)
	f.now = f.now.AddDate(0, 0, 12)
	if err := f.round(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired one: %v", err)
	}
	f.now = f.now.AddDate(0, 0, -12)
	if strings.Contains(f.ran(), "evil") {
		t.Fatal("what was refused ran")
	}
	f.must(f.round())
	if f.ran() != "one\ntwo\nevil\n" {
		t.Errorf("ran %q", f.ran())
	}
	// A clock that ran ahead once is not believed when it falls back.
	f.now = f.now.AddDate(0, 0, 9)
	f.must(f.round())
	f.now = f.now.AddDate(-1, 0, 0)
	f.source.shows("script.asc", f.script(f.key, 7, first))
	if err := f.round(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("with a clock that fell back: %v", err)
	}
	if f.noted == 0 {
		t.Error("nothing was noted")
	}
}

func TestRound_KeyHasToBeThePinnedOne(t *testing.T) {
	f := newFollower(t)
	_, public := f.newKey()
	f.source.shows("key.asc", public)
	f.source.shows("script.asc", f.script(f.key, 1))
	if err := f.round(); err == nil || !strings.Contains(err.Error(), "the feed's key is") {
		t.Error(err)
	}
	f.source.Close()
	if err := f.round(); err == nil || !strings.Contains(err.Error(), "cannot fetch") {
		t.Error(err)
	}
}

func TestNew_Refuses(t *testing.T) {
	for _, s := range []agentfeed.Source{{URL: "file:///etc"}, {URL: "http://u:p@h/feed", Fingerprint: strings.Repeat("A", 40)}, {URL: "http://h/feed"}} {
		if _, err := agentfeed.New(agentfeed.Config{Source: s}); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}
