package lab_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/identity/contact"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A machine whose clock is ahead takes every certificate for one that is over. It
// asks for another once, and not at each contact for ever.
func TestContact_ClockAhead(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.JoinedByToken(newToken(l, 1))
	ahead := func() time.Time { return time.Now().Add(200 * 24 * time.Hour) }
	s := contact.New(contact.Config{DataDir: pc.Dir, UserAgent: "test", Machine: func() enrol.Machine { return enrol.Machine{} }, Now: ahead, Log: slog.New(slog.DiscardHandler)})
	serials := map[string]bool{}
	for range 4 {
		if err := s.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
		id, err := identity.Load(pc.Dir)
		if err != nil {
			t.Fatal(err)
		}
		serials[id.Serial()] = true
	}
	if len(serials) != 1 { // the one that it joined with is replaced before it is looked at
		t.Errorf("%d certificates in 4 contacts", len(serials))
	}
}
