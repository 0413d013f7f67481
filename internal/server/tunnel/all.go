package tunnel

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// All are the tunnels that this server runs.
type All struct {
	Dir     string // a folder for each
	Servers []*Server
	Log     *slog.Logger
}

// Serve runs them, and ends those that this server runs no more.
func (a *All) Serve(ctx context.Context) error {
	a.endFormer(ctx)
	g := run.Group{Log: a.Log}
	for _, one := range a.Servers {
		g.Add("tunnel "+one.Name, one)
	}
	g.Add("tunnels", run.Func(func(ctx context.Context) error { <-ctx.Done(); return nil })) // there may be none
	return g.Serve(ctx)
}

func (a *All) endFormer(ctx context.Context) {
	entries, err := os.ReadDir(a.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.Log.Warn("Former tunnels are not looked for", "error", err)
	}
	for _, e := range entries {
		if slices.ContainsFunc(a.Servers, func(s *Server) bool { return s.Name == e.Name() }) {
			continue
		}
		if err := End(ctx, filepath.Join(a.Dir, e.Name())); err != nil {
			a.Log.Warn("A former tunnel does not end", "tunnel", e.Name(), "error", err)
		}
	}
}

// Traffic is what sessions carried.
func (a *All) Traffic() (all []port.TunnelTraffic) {
	for _, one := range a.Servers {
		in, _ := one.Sessions()
		for _, s := range in {
			all = append(all, port.TunnelTraffic{HostID: s.HostID, Tunnel: one.Name, Epoch: s.Epoch, Received: s.Received, Sent: s.Sent})
		}
	}
	return all
}

// Disconnect is [Disconnect].
func (a *All) Disconnect(tx *store.Tx, hostID, tunnel string) error {
	return Disconnect(tx, hostID, tunnel)
}

// Ask tells the numbers of all tunnels together to whoever keeps such numbers. grows
// says that a number never falls.
func (a *All) Ask(keep func(grows bool, name, help string, read func() float64)) {
	ask := func(grows bool, name, help string, read func(*Server) float64) {
		keep(grows, name, help, func() (n float64) {
			for _, s := range a.Servers {
				n += read(s)
			}
			return n
		})
	}
	ask(false, "tunnel_sessions", "Nodes in the tunnels that this server runs.", func(s *Server) float64 { all, _ := s.Sessions(); return float64(len(all)) })
	ask(false, "tunnel_unattended", "Tunnels of this server whose openvpn does not run or does not answer.", func(s *Server) float64 {
		if _, ok := s.Sessions(); ok || s.waiting() {
			return 0
		}
		return 1
	})
	ask(false, "tunnel_elsewhere", "Tunnels of this server that another server of the database serves now.", func(s *Server) float64 {
		if s.waiting() {
			return 1
		}
		return 0
	})
	ask(true, "tunnel_decisions_total", "Nodes that asked to be let into a tunnel.", func(s *Server) float64 { return float64(s.decided.Load()) })
	ask(true, "tunnel_refused_total", "Nodes that were refused.", func(s *Server) float64 { return float64(s.denied.Load()) })
	ask(true, "tunnel_ended_total", "Sessions that were ended from here: revoked hosts, and by order.", func(s *Server) float64 { return float64(s.killed.Load()) })
	ask(true, "tunnel_starts_total", "Starts of openvpn.", func(s *Server) float64 { return float64(s.started.Load()) })
	ask(false, "tunnel_slowest_decision_seconds", "The longest that a node waited for a decision.", func(s *Server) float64 { return s.Slowest().Seconds() })
}
