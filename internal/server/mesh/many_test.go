package mesh_test

import (
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
)

// A host that wants a certificate for another key at each question gets so many: all of
// them stand in everybody's map when it is revoked, and a map that is too large is none.
func TestAsk_CertificatesWithoutEnd(t *testing.T) {
	w := newWorld(t)
	good, bad := w.host("good.example.org", "10.134.0.2"), w.host("bad.example.org", "10.134.0.3")
	given, refused := 0, 0
	for range 150 {
		bad.Key = newKey(t)
		w.later(6 * time.Second)
		switch _, err := w.mesh.Ask(t.Context(), "bad.example.org", w.from, bad); fleet.CodeOf(err) {
		case "":
			given++
		case fleet.Unavailable:
			refused++
		default:
			t.Fatal(err)
		}
	}
	if given > 100 || refused < 50 {
		t.Errorf("it was given %d, and refused %d times", given, refused)
	}
	w.identities["bad.example.org"] = mesh.Identity{NodeType: "vnode", Joined: 1}
	w.later(2 * time.Second)
	if m := w.open(w.ask("good.example.org", good)); len(m.Blocked) != given {
		t.Errorf("%d are blocked of %d", len(m.Blocked), given)
	}
	w.identities["bad.example.org"] = mesh.Identity{NodeType: "vnode", Joined: 2, Counts: true}
	w.later(content.Life)
	w.ask("bad.example.org", bad)
}
