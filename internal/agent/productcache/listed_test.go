package productcache

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A depot that has lists only fills the cache as well; the copy is verified like
// any other, and changes hands between the two kinds without a byte that is here
// already.
func TestSync_ByList(t *testing.T) {
	s := newSite(t, 0)
	s.depot.plain = true
	one := tree{"setup.sh": "echo 1", "sub/data": strings.Repeat("d", 5000), "same": strings.Repeat("d", 5000), "link": "-> sub/data"}
	s.depot.trees["tool"] = one
	p, err := s.Sync(t.Context(), onDepot("tool", "1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Checked != ByMD5 || p.Listed == "" || !strings.HasPrefix(p.From, "webdav ") || p.Wire != int64(len("echo 1")+5000) || p.Files != 3 {
		t.Errorf("%+v", p)
	}
	s.note(p)
	s.holds("tool", "1", tree{"setup.sh": "echo 1", "sub/data": one["sub/data"], "link": one["sub/data"]})
	if left := s.names("parts") + s.names("staging"); left != "" {
		t.Errorf("%s is left", left)
	}

	t.Run("unchanged", func(t *testing.T) {
		s.depot.fetched = 0
		p, err := s.Sync(t.Context(), onDepot("tool", "1"), nil)
		if err != nil || s.depot.fetched != 0 || p.Digest == "" || p.From == "" || p.Bytes != 10006 {
			t.Errorf("%d bytes, %+v, %v", s.depot.fetched, p, err)
		}
	})
	t.Run("a new version", func(t *testing.T) {
		s.depot.fetched = 0
		two := tree{"setup.sh": "echo 2", "moved": one["sub/data"]}
		s.depot.trees["tool"] = two
		p, err := s.Sync(t.Context(), onDepot("tool", "2"), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.note(p)
		s.holds("tool", "2", two)
		if s.depot.fetched != len("echo 2") {
			t.Errorf("%d bytes were fetched", s.depot.fetched)
		}
	})
	t.Run("after a crash between the exchange and the row", func(t *testing.T) {
		three := tree{"setup.sh": "echo 3", "moved": one["sub/data"]}
		s.depot.trees["tool"] = three
		if _, err := s.Sync(t.Context(), onDepot("tool", "3"), nil); err != nil {
			t.Fatal(err)
		}
		s.depot.fetched = 0 // and no row was written
		p, err := s.Sync(t.Context(), onDepot("tool", "3"), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.note(p)
		s.holds("tool", "3", three)
		if s.depot.fetched != 0 {
			t.Errorf("%d bytes were fetched", s.depot.fetched)
		}
	})
	t.Run("a depot with manifests takes over, and back", func(t *testing.T) {
		for _, plain := range []bool{false, true} {
			s.depot.plain, s.depot.fetched = plain, 0
			p, err := s.Sync(t.Context(), onDepot("tool", "3"), nil)
			if err != nil || s.depot.fetched != 0 {
				t.Errorf("%d bytes were fetched, error %v", s.depot.fetched, err)
			}
			s.note(p)
			s.holds("tool", "3", s.depot.trees["tool"])
		}
	})
	t.Run("a damaged copy", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(s.Dir("tool"), "setup.sh"), []byte("echo 0"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verified(t.Context(), "tool", "3", "1"); fleet.CodeOf(err) != fleet.Conflict {
			t.Errorf("%v", err)
		}
	})
}

// whole waits until a file of the test's depot has arrived.
func (s *site) whole(product, path string) {
	name := fmt.Sprintf("%x-%d", md5.Sum([]byte(s.depot.trees[product][path])), len(s.depot.trees[product][path]))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(10 * time.Second); !slices.Contains(entries(s.parts(product)), name); {
		select {
		case <-tick.C:
		case <-late:
			s.t.Errorf("%s of %s does not arrive", path, product)
			return
		}
	}
}

// What arrived before an interruption stays; what makes no product leaves nothing
// in the place of one.
func TestSync_ByListInterrupted(t *testing.T) {
	s := newSite(t, 0)
	s.depot.plain = true
	want := tree{"a": strings.Repeat("a", 5000), "b": strings.Repeat("b", 7000)}
	s.depot.trees["tool"] = want
	var down atomic.Bool
	down.Store(true)
	s.depot.before = func(w http.ResponseWriter, path string) bool {
		if down.Load() && strings.HasSuffix(path, "/b") {
			s.whole(strings.Split(path, "/")[2], "a")
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	if _, err := s.Sync(t.Context(), onDepot("tool", "1"), nil); fleet.CodeOf(err) != fleet.Denied {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir("tool")); err == nil {
		t.Error("half a product is published")
	}
	down.Store(false)
	s.depot.fetched = 0
	p, err := s.Sync(t.Context(), onDepot("tool", "1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.note(p)
	s.holds("tool", "1", want)
	if s.depot.fetched != 7000 {
		t.Errorf("%d bytes were fetched the second time", s.depot.fetched)
	}
	t.Run("what nobody wants any more goes", func(t *testing.T) {
		s.depot.trees["other"] = tree{"a": "y", "b": "x"}
		down.Store(true)
		s.Sync(t.Context(), onDepot("other", "1"), nil)
		down.Store(false)
		s.cached("third", "1", tree{"a": "x"})
		if left := s.names("parts"); left != "" {
			t.Errorf("%s is left", left)
		}
	})
	t.Run("too large", func(t *testing.T) {
		small := newSite(t, 100)
		small.depot.plain = true
		small.depot.trees["tool"] = want
		if _, err := small.Sync(t.Context(), onDepot("tool", "1"), nil); fleet.CodeOf(err) != fleet.TooLarge || small.depot.fetched != 0 {
			t.Errorf("%d bytes were fetched: %v", small.depot.fetched, err)
		}
	})
}
