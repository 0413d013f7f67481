package folder

import (
	"path"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// A link of a list, which names a path from the base, leads there from its own
// folder too, and only so that a manifest takes it.
func TestRelative(t *testing.T) {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", ".x", "a b"}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		link := path.Join(append(names.Draw(t, "folder"), "link")...)
		target := path.Clean(path.Join(names.Draw(t, "target")...))
		to := relative(path.Dir(link), target)
		if err := manifest.CheckLink(link, to); err != nil {
			t.Fatal(err)
		}
		if got := manifest.Resolve(link, to); got != target {
			t.Errorf("%q to %q is %q, which leads to %q", link, target, to, got)
		}
	})
}
