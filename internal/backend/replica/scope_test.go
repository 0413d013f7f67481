package replica

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A pull decides by a key alone whether a row that is gone was the client's.
func TestIdentOf_ReadsWhatKeyWrites(t *testing.T) {
	for _, c := range travels() {
		r := fleet.Row{}
		for i, col := range c.Ident() {
			r[col.Name] = []string{"firefox", "pc1.example.org", `a;b\\c;\`, "115.0", ";"}[i%5]
		}
		if d := cmp.Diff(r, c.IdentOf(c.Key(r))); d != "" {
			t.Errorf("%s %s (-row +key):\n%s", c.Name, c.Key(r), d)
		}
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
