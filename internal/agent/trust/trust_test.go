package trust_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	agenttrust "github.com/fernwerk/fernwerk/internal/agent/trust"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// server hands out a repository, over TLS, and misbehaves where a test says so.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	repo  *trusttest.Repository
	bad   map[string]http.HandlerFunc // by the end of the path
	asked []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/v1/trust/")
	s.mu.Lock()
	s.asked = append(s.asked, name)
	bad, data := s.bad[name], s.repo.Files[name]
	s.mu.Unlock()
	if bad != nil {
		bad(w, r)
		return
	}
	if data == nil {
		http.NotFound(w, r)
		return
	}
	serve(data)(w, r)
}

func serve(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256(data)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(data)
	}
}

// misbehave answers a file another way; nil makes it good again.
func (s *server) misbehave(name string, how http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[name] = how
}

// requests are the files asked for since the last call.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = nil
	return out
}

// machine is a keeper with what it needs; again is the machine after a crash.
type machine struct {
	*agenttrust.Keeper
	store   *store.Store
	cfg     agenttrust.Config
	demand  agenttrust.Demand
	clock   time.Time
	refused []string
}

func newServer(t testing.TB) *server {
	s := &server{repo: full(t), bad: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

// manifestText stands for a product's manifest: trust looks at its digest only.
const manifestText = "a manifest"

func full(t testing.TB) *trusttest.Repository {
	r := trusttest.New(t)
	r.Add(trust.UpdateName("017"), []byte("#!/bin/sh\necho 17\n"))
	r.Add(trust.ConfName(""), []byte("[global]\nlog_level = 7\n"))
	target := trust.TargetOf([]byte(manifestText))
	target.Custom, _ = trust.Scripts{"setupScript": "setup.sh"}.Custom()
	r.Targets[trust.ProductName("vlc", "3.0", "1", "linux")] = target
	r.Depot[trust.DepotName("d.example.org", "vlc", "3.0", "1", "linux")] = trust.Target{Length: 7, SHA256: sha256.Sum256([]byte("changed")), Custom: target.Custom}
	r.Publish(t)
	return r
}

func newMachine(t testing.TB, s *server) *machine {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m := &machine{clock: trusttest.Start}
	if m.store, err = store.Open(t.Context(), db, time.Now, agenttrust.Classes()...); err != nil {
		t.Fatal(err)
	}
	m.demand = agenttrust.Demand{Policy: enrol.Offline, Pin: pin(s.repo, 1)}
	m.cfg = agenttrust.Config{Store: m.store, Demand: func() (agenttrust.Demand, error) { return m.demand, nil },
		Base: s.URL + "/v1/trust", Client: s.Client(), Prepare: func(*http.Request) error { return nil }, Platform: "linux",
		Now: func() time.Time { return m.clock }, Log: slog.New(slog.DiscardHandler),
		Refused: func(_ context.Context, text string) { m.refused = append(m.refused, text) }}
	m.again(t)
	return m
}

func pin(r *trusttest.Repository, version int64) agenttrust.Pin {
	sum := sha256.Sum256(r.Files[trust.FileName(trust.RoleRoot, version)])
	return agenttrust.Pin{Version: version, SHA256: hex.EncodeToString(sum[:])}
}

func (m *machine) again(t testing.TB) {
	t.Helper()
	k, err := agenttrust.Open(t.Context(), m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Keeper = k
}

func (m *machine) follow(t testing.TB) {
	t.Helper()
	if err := m.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// works is an error unless the machine believes the good product and nothing that
// differs in one word.
func (m *machine) works(t testing.TB) {
	t.Helper()
	v, err := m.Product(tree("3.0", manifestText))
	if err != nil || v.Role != trust.RoleTargets || v.Scripts["setupScript"] != "setup.sh" {
		t.Errorf("the good product: %+v, %v", v, err)
	}
}

func tree(version, manifest string) agenttrust.Tree {
	return agenttrust.Tree{ProductID: "vlc", ProductVersion: version, PackageVersion: "1", Digest: sha256.Sum256([]byte(manifest)), Depots: []string{"d.example.org"}}
}

func refused(t testing.TB, what string, err error) {
	t.Helper()
	if c := fleet.CodeOf(err); c != fleet.Denied && c != fleet.Invalid {
		t.Errorf("%s: %v", what, err)
	}
}

func TestRefresh(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	if _, err := m.Product(tree("3.0", manifestText)); err == nil {
		t.Error("believed before anything was fetched")
	}
	if st := m.Status(); !st.Stale || st.Since != "" || st.Pinned != 1 {
		t.Errorf("status %+v", st)
	}
	m.follow(t)
	m.works(t)
	if names := m.Names("update/"); len(names) != 1 || names[0] != "update/017" {
		t.Errorf("names %q", names)
	}
	if sum, ok := m.Digest("update/017"); !ok || sum != sha256.Sum256([]byte("#!/bin/sh\necho 17\n")) {
		t.Error(sum, ok)
	}
	if data, err := m.Content(t.Context(), "update/017"); err != nil || string(data) != "#!/bin/sh\necho 17\n" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := m.Content(t.Context(), "update/018"); fleet.CodeOf(err) != fleet.NotFound {
		t.Error(err)
	}
	if st := m.Status(); st.Stale || st.Checked == "" || st.Problem != "" || st.Versions[trust.RoleTargets] != 2 {
		t.Errorf("status %+v", st)
	}
	if v := m.Versions(); v[trust.RoleTimestamp] != 2 || len(first(m.Document(trust.Depot))) == 0 || len(first(m.Document(trust.RoleRoot))) == 0 {
		t.Errorf("versions %v", v)
	}

	// Nothing new: two short answers, and no document.
	s.requests()
	m.follow(t)
	if asked := s.requests(); len(asked) != 2 || asked[0] != "timestamp.json" || asked[1] != "2.root.json" {
		t.Errorf("asked for %q", asked)
	}

	// Without a server, after a restart.
	s.Close()
	m.again(t)
	m.works(t)
	if data, err := m.Content(t.Context(), trust.ConfName("")); err != nil || string(data) != "[global]\nlog_level = 7\n" {
		t.Errorf("%q, %v", data, err)
	}
	if err := m.Refresh(t.Context()); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("without a server: %v", err)
	}
	m.works(t)
	if len(m.refused) != 0 {
		t.Errorf("that nobody answers is no refusal: %q", m.refused)
	}
}

func TestPin(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	good := m.demand.Pin
	m.demand.Pin = agenttrust.Pin{}
	if err := m.Refresh(t.Context()); fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Errorf("without a pin: %v", err)
	}
	m.demand.Pin = agenttrust.Pin{Version: 1, SHA256: strings.Repeat("0", 64)}
	refused(t, "another root", m.Refresh(t.Context()))
	if len(m.refused) != 1 || !strings.Contains(m.refused[0], "1.root.json") {
		t.Errorf("told %q", m.refused)
	}
	m.demand.Pin = good
	m.follow(t)
	m.works(t)
	// Somebody on the machine sets another pin: what was followed from the old one
	// does not count any more, and the new one begins without the old floor.
	other := trusttest.New(t)
	other.Versions[trust.RoleRoot] = 6
	other.PublishRoot(t)
	m.demand.Pin = pin(other, 7)
	if _, err := m.Product(tree("3.0", manifestText)); err == nil {
		t.Error("what was followed from another pin counts")
	}
	if len(m.Names("")) != 0 {
		t.Errorf("names %q", m.Names(""))
	}
	s.mu.Lock()
	s.repo = other
	s.mu.Unlock()
	m.follow(t)
	if v := m.Versions(); v[trust.RoleRoot] != 7 || v[trust.RoleTimestamp] != 1 {
		t.Errorf("versions %v", v)
	}
	m.again(t)
	if v := m.Versions(); v[trust.RoleRoot] != 7 {
		t.Errorf("versions after a restart %v", v)
	}
}

func TestPolicies(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	changed := tree("3.0", "changed")
	for policy, want := range map[enrol.Policy]string{enrol.Offline: "no", enrol.Delegated: trust.Depot, enrol.PlainOpsi: ""} {
		m.demand.Policy = policy
		v, err := m.Product(changed)
		if (err != nil) != (want == "no") || err == nil && v.Role != want {
			t.Errorf("%s: %+v, %v", policy, v, err)
		}
		if err != nil && (fleet.CodeOf(err) != fleet.Denied || !strings.Contains(fleet.HintOf(err), "trust policy delegated")) {
			t.Errorf("%s: %v, %s", policy, err, fleet.HintOf(err))
		}
	}
	m.demand.Policy = enrol.Delegated
	if _, err := m.Product(tree("3.0", "never seen")); fleet.CodeOf(err) != fleet.Denied || !strings.Contains(err.Error(), "vlc 3.0-1") {
		t.Error(err)
	}
}

func TestDamagedDatabase_StartsAndBeginsAnew(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	damage(t, m.store)
	m.again(t)
	if _, err := m.Product(tree("3.0", manifestText)); err == nil {
		t.Error("a damaged document is believed")
	}
	if st := m.Status(); !strings.Contains(st.Problem, "damaged") {
		t.Errorf("status %+v", st)
	}
	m.follow(t)
	m.works(t)
}

func first[T any](v T, _ error) T { return v }
