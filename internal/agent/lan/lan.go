// Package lan tells the server where this machine is beside its tunnels, so that its
// name leads neighbours to it directly. Package lan of fleet says what is told and what
// is believed of it.
//
// It tells when a tunnel came up, for the server then may see the machine at another
// place; when addresses have changed, of which the system tells; and else once an hour.
// Between these it does nothing. A machine in no tunnel tells nothing: nobody asks for
// its name. That the server does not answer is no news either: other parts say so, and
// this one tries again.
package lan

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
)

const (
	// settle is how long after a change the machine is looked at: one seldom comes
	// alone.
	settle    = 300 * time.Millisecond
	firstWait = time.Second
	lastWait  = 5 * time.Minute
	patience  = 20 * time.Second // with the server
)

// Service tells.
type Service struct {
	// Here are the machine's addresses, Up whether it is in a tunnel.
	Here func() []netip.Prefix
	Up   func() bool
	// Came gets something when a tunnel came up, Moved when addresses may have changed.
	Came, Moved <-chan struct{}
	// Ask sends a request to a path of the server, with the machine's certificate.
	Ask func(ctx context.Context, path string, in, out any) error
	Log *slog.Logger
}

// Serve tells until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	var seen, known []netip.Prefix // when last looked, and what the server has
	told, late := false, time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Came:
			told, late = false, 0
			timer.Reset(settle)
			continue
		case <-s.Moved:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(settle):
			}
			if now := lan.New(s.Here()).LAN; slices.Equal(now, seen) {
				continue // another interface's matter, of which there may be many
			}
			late = 0
		case <-timer.C:
		}
		now := lan.New(s.Here())
		seen = now.LAN
		if !s.Up() {
			told = false
			timer.Reset(lan.Again)
			continue
		}
		again := lan.Again - rand.N(lan.Again/6)
		switch err := s.tell(ctx, now); fleet.CodeOf(err) {
		case "":
			if !told || !slices.Equal(known, now.LAN) {
				s.Log.Info("The server knows the LAN addresses", "addresses", now.LAN)
			}
			known, told, late = now.LAN, true, 0
		case fleet.NotFound: // an older server, which has nothing like this
			late = 0
		case fleet.Denied, fleet.Invalid: // it will say the same the next time
			s.Log.Warn("The server does not take the LAN addresses", "error", err, "hint", fleet.HintOf(err))
			late = 0
		default:
			late = min(max(2*late, firstWait), lastWait)
			again = late
		}
		timer.Reset(again)
	}
}

func (s *Service) tell(ctx context.Context, r lan.Report) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out struct{}
	return s.Ask(ctx, lan.Path, r, &out)
}
