package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Roots that follow each other, on a server of its own: the others would follow.
func TestAttack07_09_10_Rotation(t *testing.T) {
	t.Parallel()
	o := ownSiege(t)
	rotate := func(what string) {
		t.Helper()
		_, err := o.command(t.Context(), "trust", "rotate", what)
		must(t, err)
		_, err = o.command(t.Context(), "trust", "publish")
		must(t, err)
	}
	asleep := o.victim(t, "offline")
	asleep.Kill()
	v := o.victim(t, "offline")
	fork := filepath.Join(t.TempDir(), "fork") // whoever copied the root's keys before they were withdrawn
	must(t, os.CopyFS(fork, os.DirFS(o.trust)))

	t.Run("TestAttack07_FastForward", func(t *testing.T) {
		ahead := int64(1) << 52
		v.lies(t, append([]lie{{Path: "^/v1/contact$", Do: "serve", Status: 502}}, o.forge(t, forgery{edit: func(s *trust.Timestamp, n *trust.Snapshot) { s.Version, n.Version = ahead, ahead }})...)...)
		v.works(t)
		if got := v.trust(t).Versions[trust.RoleTimestamp]; got != ahead {
			t.Fatalf("timestamp %d", got)
		}
		shut := lie{Path: "^/v1/contact$", Do: "serve", Status: 502} // it must not tell the true server
		v.lies(t, shut)
		v.works(t)
		if st := v.trust(t); st.Problem == "" {
			t.Errorf("before the rotation: %+v", st)
		}
		rotate("online")
		v.lies(t, shut)
		v.works(t)
		if st := v.trust(t); st.Problem != "" || st.Versions[trust.RoleTimestamp] >= ahead || st.Versions[trust.RoleRoot] != 2 {
			t.Errorf("after the rotation: %+v", st)
		}
	})
	t.Run("TestAttack10_AWithdrawnRoot", func(t *testing.T) {
		rotate("root")
		v.lies(t)
		v.works(t)
		if got := v.trust(t).Versions[trust.RoleRoot]; got != 3 {
			t.Fatalf("root %d", got)
		}
		for range 3 {
			_, err := o.command(t.Context(), "trust", "rotate", "root", fork)
			must(t, err)
		}
		root, err := os.ReadFile(filepath.Join(fork, "roots", "4.root.json"))
		must(t, err)
		for range 2 { // for ever
			v.holdsOut(t, []string{"root"}, serves(named(trust.RoleRoot, 4), root))
			v.Kill()
			must(t, v.Start(t.Context()))
		}
	})
	t.Run("TestAttack09_FiveRootsWhileAway", func(t *testing.T) {
		for _, what := range []string{"root", "online", "root"} {
			rotate(what)
		}
		asleep.lies(t)
		must(t, asleep.Start(t.Context()))
		asleep.works(t)
		if st := asleep.trust(t); st.Versions[trust.RoleRoot] != 6 || st.Problem != "" || st.Stale {
			t.Errorf("after a year: %+v", st)
		}
	})
}
