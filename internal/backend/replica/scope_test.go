package replica

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A pull decides by a key alone whether a row that is gone was the client's.
func TestIdentOf_ReadsWhatKeyWrites(t *testing.T) {
	for _, c := range travels() {
		for _, r := range backendtest.Sample(c) {
			want := identity(c, r)
			if d := cmp.Diff(want, identOf(c, c.Key(r))); d != "" {
				t.Errorf("%s %s (-row +key):\n%s", c.Name, c.Key(r), d)
			}
		}
	}
	odd := fleet.Row{"type": fleet.HostGroup, "id": `a;b\c;\`}
	if d := cmp.Diff(odd, identOf(fleet.Groups, fleet.Groups.Key(odd))); d != "" {
		t.Errorf("odd (-row +key):\n%s", d)
	}
}

// The scope's filters may ask for nothing but the identity: of a row that is
// gone there is only the key.
func TestParts_AskForTheIdentityOnly(t *testing.T) {
	for _, p := range (Scope{Client: "c", Depot: "d", Server: "s", Products: []string{"p"}}).Parts() {
		for name := range p.Filter {
			if col := p.Class.Column(name); col == nil || !col.Ident {
				t.Errorf("%s is asked for by %s", p.Class.Name, name)
			}
		}
	}
}
