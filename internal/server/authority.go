package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
)

// keepAuthority prepares the authority to certify hosts, and what keeps it up
// while the server runs.
func (s *Server) keepAuthority(ctx context.Context, st *store.Store, m *member, authority *ca.Authority) (*ca.Keeper, error) {
	keeper := &ca.Keeper{Authority: authority, Store: st, Log: s.cfg.Log}
	if st.Shared() {
		keeper.Shared = func(ctx context.Context) (keyring.Bundle, error) { return m.Get(ctx, authorityName) }
	}
	return keeper, keeper.Begin(ctx)
}

// Authority is a server's certificate authority for a command beside the server,
// which may run: it has what changed within half a minute. Of servers on one
// database each does.
type Authority struct {
	server  *Server
	cluster *cluster.Cluster // nil: the folder is all there is
}

// OpenAuthority opens the authority of a server that was started once. Call
// Close.
func OpenAuthority(ctx context.Context, cfg Config) (_ *Authority, err error) {
	s := &Server{cfg: cfg}
	if err := s.defaults(); err != nil {
		return nil, err
	}
	if s.cfg.ConfigServer != "" {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot open the certificate authority: a depot server has none"), "run it at %s", s.cfg.ConfigServer)
	}
	if _, err := os.Stat(s.path("ca", "ca.pem")); errors.Is(err, fs.ErrNotExist) {
		return nil, notUsed(s.cfg.Data)
	} else if err != nil {
		return nil, fmt.Errorf("cannot open the certificate authority: %w", err)
	}
	a := &Authority{server: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	lock, err := filelock.Await(ctx, s.path("ca", "lock"), 2*time.Second)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot open the certificate authority: %w", err), "wait for the other command that works on it")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the certificate authority: %w", err)
	}
	s.add(lock.Release)
	if s.cfg.Database == "" {
		return a, nil
	}
	st, err := s.openStore(ctx)
	if err != nil {
		return nil, err
	}
	a.cluster, err = cluster.Open(ctx, s.cfg.Data, st)
	return a, err
}

// Close gives the authority back.
func (a *Authority) Close() error { return a.server.Close() }

// Bundle is the authority as it is.
func (a *Authority) Bundle(ctx context.Context) (keyring.Bundle, error) {
	if a.cluster == nil {
		return keyring.Read(a.server.path("ca"))
	}
	all, err := a.cluster.Get(ctx, authorityName)
	if err == nil && all == nil {
		err = notUsed(a.server.cfg.Data)
	}
	return all, err
}

// Replace makes next of what was. With several servers the database has it first:
// the folders follow.
func (a *Authority) Replace(ctx context.Context, was, next keyring.Bundle) error {
	if a.cluster != nil {
		if err := a.cluster.Exchange(ctx, authorityName, was, next); err != nil {
			return err
		}
	}
	return next.Write(a.server.path("ca"))
}

// Served is the certificate that the server shows, nil if there is none yet.
func (a *Authority) Served() (*keyring.Known, error) { return ca.Served(a.server.path("ca")) }

// Outside refuses a file in the data folder for the root's key.
func (a *Authority) Outside(file string) error { return keyring.Outside(a.server.cfg.Data, file) }
