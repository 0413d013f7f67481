package productcache

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/require"
)

// The disk is looked at before anything is fetched: one with a megabyte more
// than the reserve takes a small product and refuses a large one.
func TestSync_ChecksTheDiskFirst(t *testing.T) {
	require.Root(t)
	s := newSite(t, DefaultMaxSize)
	dir := s.Cache.dir
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=101m"); err != nil {
		require.Skip(t, "a small disk", err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.cached("small", "1", tree{"file": strings.Repeat("s", 1000)})
	before := s.depot.fetched
	large := tree{} // of files that are one chunk each
	for i := range 200 {
		large[fmt.Sprintf("file%d", i)] = strings.Repeat("l", 10_000)
	}
	s.depot.trees["large"] = large
	_, err := s.Sync(t.Context(), onDepot("large", "1"), nil)
	if fleet.CodeOf(err) != fleet.TooLarge || !strings.Contains(fleet.HintOf(err), "make room on the disk") {
		t.Errorf("%v, hint %q", err, fleet.HintOf(err))
	}
	if s.depot.fetched != before {
		t.Errorf("%d bytes were fetched all the same", s.depot.fetched-before)
	}
}
