package tunnel

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/deadman"
)

// Of several servers on one database one serves a tunnel: it holds the tunnel's lease.
// Its openvpn outlives fernwerkd, so that a new start cuts nobody; and the lease is
// not given back then, but lapses. Whoever follows starts its own openvpn, to which the
// nodes come by their next remote. By then the former one has ended: by the fernwerkd
// that lost the lease, or by the guard beside it, if that fernwerkd is dead or hangs.

// Turns say when this server serves.
type Turns struct {
	Leases *lease.Leases
	// Self is this server's name for the others.
	Self string
	// Others tells whether other servers of the database run, or may.
	Others func(ctx context.Context) (bool, error)
	// Guard is the program with its first arguments that is a guard; see package deadman.
	Guard []string
}

const (
	untilFile = "openvpn.until"
	// earlier is how long before the end of the lease the guard begins to end openvpn,
	// which may take some seconds.
	earlier = 8 * time.Second
	// alone is how long openvpn may run without fernwerkd while no other server is there
	// that could follow.
	alone = time.Hour
	// allowEach is how often the guard is told.
	allowEach = 3 * time.Second
	takeEach  = time.Second
)

// inTurn serves while it is this server's turn.
func (s *Server) inTurn(ctx context.Context) error {
	var last int64 // the number of our lease
	for ctx.Err() == nil {
		h := s.take(ctx, last)
		if h == nil {
			return nil
		}
		last = h.Number()
		s.turn(ctx, h)
	}
	return nil
}

// take waits for the lease. While another server has it, no openvpn of ours runs.
func (s *Server) take(ctx context.Context, last int64) *lease.Held {
	name := "tunnel " + s.Name
	wake, stop := s.Turns.Leases.Watch(lease.Topic)
	defer stop()
	tick := time.NewTicker(takeEach)
	defer tick.Stop()
	said := ""
	for {
		h, err := s.Turns.Leases.Take(ctx, name, s.Turns.Self)
		switch {
		case err == nil:
			s.wait(false)
			return h
		case ctx.Err() != nil:
			return nil
		case fleet.CodeOf(err) == fleet.Locked:
			all, lerr := s.Turns.Leases.All(ctx, name)
			for _, l := range all {
				if lerr == nil && l.Name == name && l.Number != last && said != l.Holder {
					said = l.Holder
					s.wait(true)
					s.Log.Info("Tunnel is served by another server", "tunnel", s.Name, "server", l.Info, "holder", l.Holder)
					if err := End(ctx, s.Dir); err != nil {
						s.Log.Warn("Tunnel's openvpn does not end, while another server serves", "tunnel", s.Name, "error", err)
					}
				}
			}
		case err.Error() != said:
			said = err.Error()
			s.Log.Warn("Tunnel waits for the database", "tunnel", s.Name, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}

func (s *Server) wait(is bool) {
	s.mu.Lock()
	s.waits = is
	s.mu.Unlock()
}

// waiting tells that another server serves.
func (s *Server) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits
}

// turn serves until ctx ends, or the lease is lost.
func (s *Server) turn(ctx context.Context, h *lease.Held) {
	work, lost := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	var others atomic.Bool // somebody could follow, as far as is known
	allow := func() {
		is, err := s.Turns.Others(work)
		if err == nil {
			others.Store(is)
		}
		left := alone
		if others.Load() {
			if left, err = h.Left(work); err != nil {
				return
			}
			left -= earlier
		}
		if err := deadman.Allow(s.path(untilFile), left); err != nil {
			s.Log.Warn("Tunnel's guard is not told that all is well", "tunnel", s.Name, "error", err)
		}
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		s.Log.Error("Tunnel has no folder", "tunnel", s.Name, "error", err)
	}
	allow()
	all.Go(func() {
		wake, stop := s.Turns.Leases.Watch(lease.Topic) // another server came
		defer stop()
		tick := time.NewTicker(allowEach)
		defer tick.Stop()
		for {
			select {
			case <-work.Done():
				return
			case <-wake:
				allow()
			case <-tick.C:
				allow()
			}
		}
	})
	all.Go(func() {
		for work.Err() == nil {
			err := h.Keep(work)
			if err == nil {
				return
			}
			// A database that is away is no reason to end, where nobody could have followed.
			if fleet.CodeOf(err) == fleet.Conflict || others.Load() {
				lost(err)
				return
			}
		}
	})
	s.keep(work)
	all.Wait()
	if ctx.Err() != nil { // the lease lapses, unless the next of our name is here soon
		lost(nil)
		return
	}
	s.Log.Warn("Tunnel is another server's now, or the database is away: openvpn ends", "tunnel", s.Name, "error", context.Cause(work))
	if err := End(ctx, s.Dir); err != nil {
		s.Log.Warn("Tunnel's openvpn does not end", "tunnel", s.Name, "error", err)
	}
}

// guard has a guard beside an openvpn.
func (s *Server) guard(pid int) {
	if s.Turns == nil {
		return
	}
	if err := deadman.Start(s.Turns.Guard, s.path(untilFile), pid); err != nil {
		s.Log.Error("Tunnel has no guard: if this server dies, its openvpn stays", "tunnel", s.Name, "error", err)
	}
}
