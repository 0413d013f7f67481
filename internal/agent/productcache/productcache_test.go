package productcache

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var (
	first  = tree{"setup.sh": "echo 1", "files/a": strings.Repeat("a", 1000), "files/b": "b"}
	second = tree{"setup.sh": "echo 2", "files/a": strings.Repeat("a", 1000), "files/c": "c"}
)

func TestSync_OneVersionAfterAnother(t *testing.T) {
	s := newSite(t, 0)
	s.cached("firefox", "1", first)
	s.holds("firefox", "1", first)
	if err := s.Has(t.Context(), "firefox", "2", "1"); fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Errorf("the next version: %v", err)
	}
	s.depot.fetched = 0
	s.cached("firefox", "1", first)
	if s.depot.fetched != 0 {
		t.Errorf("%d bytes fetched for what is here", s.depot.fetched)
	}
	s.cached("firefox", "2", second)
	s.holds("firefox", "2", second)
	if want := len("echo 2") + len("c"); s.depot.fetched != want {
		t.Errorf("%d bytes fetched for the new version, not %d", s.depot.fetched, want)
	}
	if _, err := s.Verified(t.Context(), "firefox", "1", "1"); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("the version before: %v", err)
	}
	if got := s.Progress()["firefox"]; got.FilesDone != 3 || got.BytesDone != got.BytesTotal {
		t.Errorf("progress %+v", got)
	}
	if runtime.GOOS != "windows" {
		for _, sub := range []string{"depot", "staging", "index"} {
			if info, err := os.Stat(filepath.Join(s.Cache.dir, sub)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, error %v", sub, info.Mode(), err)
			}
		}
	}
}

// Where links are replaced by copies, a copy is right without them.
func TestVerified_WithoutLinks(t *testing.T) {
	s := newSite(t, 0)
	s.noLinks = true
	s.cached("firefox", "1", tree{"files/a": "alpha", "link": "-> files/a", "folder": "-> files"})
	held, err := s.Verified(t.Context(), "firefox", "1", "1")
	if err != nil {
		t.Fatal(err)
	}
	dir := held.Dir
	for _, name := range []string{"link", "folder/a"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if data, _ := os.ReadFile(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() || string(data) != "alpha" {
			t.Errorf("%s: %v, %q", name, err, data)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "link"), []byte("ALPHA"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verified(t.Context(), "firefox", "1", "1"); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("a damaged copy of a link: %v", err)
	}
}

// One product's id may begin with another's.
func TestSync_ProductsWithLikeNames(t *testing.T) {
	s := newSite(t, 0)
	ids := []string{"a", "a.b", "a.b.c", "a-b", "a.0"}
	for _, id := range ids {
		s.cached(id, "1", first)
	}
	for _, id := range slices.Backward(ids) {
		s.cached(id, "2", second) // forgets indexes of its own
	}
	for _, id := range slices.Backward(ids) {
		s.cached(id, "3", tree{"x": id})
		s.cached(id, "2", second)
	}
	for _, id := range ids {
		s.holds(id, "2", second)
	}
	if n := len(entries(filepath.Join(s.Cache.dir, "index"))); n > 2*len(ids) { // the one in use and the one before
		t.Errorf("%d indexes: %s", n, s.names("index"))
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", `a\b`, "A", "-a", "a b", ".old-a"} {
		if _, err := s.Sync(t.Context(), onDepot(id, "1"), nil); err == nil {
			t.Errorf("%q was cached", id)
		}
	}
}

// Whatever is wrong at the depot: what is here stays whole, and what has
// arrived is kept.
func TestSync_DepotAtFault(t *testing.T) {
	page := func(w http.ResponseWriter, _ string) bool { w.Write([]byte("<html>")); return true }
	status := func(code int) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, _ string) bool { w.WriteHeader(code); return true }
	}
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, path string) bool
		code   fleet.Code
		text   string
	}{
		"a web page":      {page, fleet.Internal, "coding"},
		"host deleted":    {status(http.StatusUnauthorized), fleet.Unauthenticated, "firefox"},
		"not allowed":     {status(http.StatusForbidden), fleet.Denied, "firefox"},
		"product removed": {status(http.StatusNotFound), fleet.NotFound, "firefox"},
		"busy":            {status(http.StatusServiceUnavailable), fleet.Unavailable, "503"},
		"endless index": {func(w http.ResponseWriter, _ string) bool {
			w.Header().Set("Content-Encoding", "zstd")
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return true
				}
			}
		}, fleet.Internal, "firefox"},
		"not allowed later": {func(w http.ResponseWriter, path string) bool {
			return strings.HasSuffix(path, "chunks") && status(http.StatusForbidden)(w, path)
		}, fleet.Denied, "firefox"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 0)
			s.cached("firefox", "1", first)
			s.depot.trees["firefox"] = second
			s.depot.before = test.answer
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.Sync(ctx, onDepot("firefox", "2"), nil)
			if err == nil || fleet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error (%s) %v", fleet.CodeOf(err), err)
			}
			s.holds("firefox", "1", first)
			s.depot.before = nil
			s.cached("firefox", "2", second)
			s.holds("firefox", "2", second)
		})
	}
}

// A depot that takes the request and then sends nothing more is left alone.
func TestSync_DepotStalls(t *testing.T) {
	s := newSite(t, 0)
	s.stall = 50 * time.Millisecond
	s.depot.trees["firefox"] = first
	release := make(chan struct{})
	s.depot.before = func(w http.ResponseWriter, _ string) bool {
		w.Header().Set("Content-Encoding", "zstd")
		w.(http.Flusher).Flush()
		<-release
		return true
	}
	_, err := s.Sync(t.Context(), onDepot("firefox", "1"), nil)
	close(release)
	if fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "stalled") {
		t.Errorf("error %v", err)
	}
	s.depot.before = nil
	s.cached("firefox", "1", first)
}

// The depot gets a new tree between its index and its content.
func TestSync_DepotChangesMeanwhile(t *testing.T) {
	s := newSite(t, 0)
	s.depot.trees["firefox"] = first
	s.depot.before = func(_ http.ResponseWriter, path string) bool {
		if strings.HasSuffix(path, "chunks") {
			s.depot.trees["firefox"] = second
		}
		return false
	}
	p, err := s.Sync(t.Context(), onDepot("firefox", "2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.note(p)
	s.holds("firefox", "2", second)
}

// The power is cut between the new copy's coming into place and the note of it.
func TestSync_CutBeforeTheNote(t *testing.T) {
	s := newSite(t, 0)
	s.cached("firefox", "1", first)
	s.depot.trees["firefox"] = second
	if _, err := s.Sync(t.Context(), onDepot("firefox", "2"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the row says is not there any more, and nothing runs from what is.
	if _, err := s.Verified(t.Context(), "firefox", "1", "1"); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("the version of the row: %v", err)
	}
	s.depot.fetched = 0
	s.cached("firefox", "2", second)
	s.holds("firefox", "2", second)
	if s.depot.fetched != 0 {
		t.Errorf("%d bytes were fetched again", s.depot.fetched)
	}
}

func TestVerified_Damaged(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"changed": func(dir string) error { return os.WriteFile(filepath.Join(dir, "files/b"), []byte("B"), 0o644) },
		"removed": func(dir string) error { return os.Remove(filepath.Join(dir, "setup.sh")) },
		"added":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "files/x"), nil, 0o644) },
		"link": func(dir string) error {
			os.Remove(filepath.Join(dir, "setup.sh"))
			return os.Symlink("/bin/true", filepath.Join(dir, "setup.sh"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 0)
			s.cached("firefox", "1", first)
			if err := damage(s.Dir("firefox")); err != nil {
				t.Fatal(err)
			}
			_, err := s.Verified(t.Context(), "firefox", "1", "1")
			if fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
				t.Fatalf("error %v", err)
			}
			s.do(func(tx *store.Tx) error { return Forget(tx, "firefox") })
			if err := s.Has(t.Context(), "firefox", "1", "1"); fleet.CodeOf(err) != fleet.NotFound {
				t.Errorf("after it was forgotten: %v", err)
			}
			s.depot.fetched = 0
			s.cached("firefox", "1", first)
			s.holds("firefox", "1", first)
			if s.depot.fetched > len(first["setup.sh"]) {
				t.Errorf("%d bytes were fetched for the repair", s.depot.fetched)
			}
		})
	}
}

// A copy without its index cannot be verified, and is fetched anew.
func TestSync_IndexLost(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"removed": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"cut":     func(path string) error { return os.Truncate(path, 50) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 0)
			s.cached("firefox", "1", first)
			if err := damage(filepath.Join(s.Cache.dir, "index", s.names("index"))); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Verified(t.Context(), "firefox", "1", "1"); fleet.CodeOf(err) != fleet.NotFound {
				t.Errorf("error %v", err)
			}
			s.depot.fetched = 0
			s.cached("firefox", "1", first)
			s.holds("firefox", "1", first)
			if s.depot.fetched != 0 {
				t.Errorf("%d bytes were fetched of what is here", s.depot.fetched)
			}
		})
	}
}

func TestSync_MakesRoom(t *testing.T) {
	s := newSite(t, 2500)
	big := func(name string) tree { return tree{name: strings.Repeat(name, 1000)} }
	s.cached("a", "1", big("a"))
	s.do(func(tx *store.Tx) error { // as of last year
		return tx.Patch(Products, fleet.Row{"productId": "a", "synced": "2001-01-01 00:00:00"})
	})
	s.cached("b", "1", big("b"))
	s.cached("c", "1", big("c"))
	if got := s.names("depot"); got != "b c" {
		t.Errorf("held is %s", got)
	}
	if got := len(entries(filepath.Join(s.Cache.dir, "index"))); got != 2 {
		t.Errorf("%d indexes", got)
	}
	s.depot.trees["d"] = big("d")
	_, err := s.Sync(t.Context(), onDepot("d", "1"), []string{"b", "c"})
	if fleet.CodeOf(err) != fleet.TooLarge || !strings.Contains(fleet.HintOf(err), "product_cache_max_size") {
		t.Errorf("with all of them wanted: %v, hint %q", err, fleet.HintOf(err))
	}
	s.holds("b", "1", big("b"))
	s.holds("c", "1", big("c"))
}

// What a crash or a cancelled request left does not fill the disk for ever.
func TestSync_TidiesUp(t *testing.T) {
	s := newSite(t, 0)
	s.cached("kept", "1", first)
	for _, path := range []string{"staging/cancelled/x", "staging/waiting/x", "depot/gone/x", "depot/.old-kept/x"} {
		path = filepath.Join(s.Cache.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.cached("new", "1", second, "waiting", "new")
	if depot, staging := s.names("depot"), s.names("staging"); depot != ".old-kept kept new" || staging != "waiting" {
		t.Errorf("held is %q, staged %q", depot, staging)
	}
	s.holds("kept", "1", first)
}

// Elsewhere than on Linux two renames put a copy in place; the cut between
// them left the old copy aside.
func TestRecover(t *testing.T) {
	s := newSite(t, 0)
	s.cached("firefox", "1", first)
	aside := filepath.Join(s.Cache.dir, "depot", ".old-firefox")
	if err := os.Rename(s.Dir("firefox"), aside); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(s.Cache.dir, "index", ".atomicfile-123")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.holds("firefox", "1", first)
	for _, path := range []string{aside, left} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left, error %v", path, err)
		}
	}
}

// A stop in the middle is no failure of the depot, and loses nothing.
func TestSync_Stopped(t *testing.T) {
	s := newSite(t, 0)
	s.depot.trees["firefox"] = first
	ctx, cancel := context.WithCancel(t.Context())
	s.depot.before = func(_ http.ResponseWriter, path string) bool {
		if strings.HasSuffix(path, "chunks") {
			cancel()
		}
		return false
	}
	if _, err := s.Sync(ctx, onDepot("firefox", "1"), nil); ctx.Err() == nil || err == nil {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(s.Dir("firefox")); !os.IsNotExist(err) {
		t.Errorf("there is a copy, error %v", err)
	}
	s.cached("firefox", "1", first)
	s.holds("firefox", "1", first)
}
