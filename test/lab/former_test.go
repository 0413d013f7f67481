package lab_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A machine that joins again as another host loses its power once it is that one,
// and before the database of the former host is aside: the agent does not go on
// with it.
func TestJoinAgain_PowerFails(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.JoinedByToken(newToken(l, 1))
	pc.Start()
	pc.Stop()
	former := pc.ID
	if err := identity.Leave(pc.Dir, former); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.JoinByToken(t.Context(), pc.Dir, identity.TokenRequest{Token: newToken(l, 1), Again: true}); err != nil {
		t.Fatal(err)
	}
	pc.Start()
	pc.Stop()
	if _, err := os.Stat(filepath.Join(pc.Dir, "agent.db-of-"+former)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(pc.Dir, "agent.db")); err != nil {
		t.Error(err)
	}
	// It is done once.
	pc.Start()
	pc.Stop()
	again, err := identity.Load(pc.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(pc.Dir, "agent.db-of-"+again.HostID)); err == nil {
		t.Error("the present host's database is set aside")
	}
}
