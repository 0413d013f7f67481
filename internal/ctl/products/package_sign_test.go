package products

import (
	"slices"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// What a newer version takes from the list.
func TestOlder(t *testing.T) {
	names := []string{"product/vlc/3.0-1/any", "product/vlc/3.0-2/linux", "product/vlc/3.0-2/windows", "product/vlc/3.9-1/any", "product/vlc/3.10-1/any", "product/vlc/3.10-2/any"}
	for _, c := range []struct {
		version, pack, platform string
		want                    []string
	}{
		{"3.10", "1", "any", names[:4]},
		{"3.10", "1", "linux", names[1:2]},
		{"3.0", "2", "any", names[:1]},
		{"3.0", "1", "any", nil},
		{"4", "1", "macos", nil},
	} {
		p := fleet.Product{ID: "vlc", ProductVersion: c.version, PackageVersion: c.pack}
		if got := older(p, c.platform, names); !slices.Equal(got, c.want) {
			t.Errorf("%s-%s for %s: %v, not %v", c.version, c.pack, c.platform, got, c.want)
		}
	}
}
