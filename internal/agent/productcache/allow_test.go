package productcache

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// What is not allowed is not fetched, and the copy of before stays; what was
// allowed when it came is asked about again before it is used.
func TestAllow(t *testing.T) {
	s := newSite(t, 0)
	s.cached("firefox", "1", first)
	allowed := first.index(t).Digest
	s.allow = func(tr Tree) error {
		if tr.Digest != allowed {
			return fleet.Errorf(fleet.Denied, "%s %s is not signed", tr.ID, tr.ProductVersion)
		}
		return nil
	}
	s.holds("firefox", "1", first)
	s.depot.trees["firefox"], s.depot.fetched = second, 0
	for _, plain := range []bool{false, true} { // by manifest, and by a list
		s.depot.plain = plain
		if _, err := s.Sync(t.Context(), onDepot("firefox", "2"), nil); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("by a list %v: %v", plain, err)
		}
		s.holds("firefox", "1", first)
	}
	if s.depot.fetched != 0 {
		t.Errorf("%d bytes were fetched", s.depot.fetched)
	}
	allowed[0]++
	if _, err := s.Verified(t.Context(), "firefox", "1", "1"); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("what is not allowed any more: %v", err)
	}
}
