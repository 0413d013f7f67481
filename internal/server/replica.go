package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/access"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/setup"
)

// replicaLease begins the names of the leases by which servers on one database
// know each other.
const replicaLease = "replica "

// authorityName is the sealed authority in the database.
const authorityName = "authority"

// member is this server among those on its database.
type member struct {
	*cluster.Cluster
	leases   *lease.Leases
	presence *lease.Held // of its name, while it runs; nil if nobody shares the database
	beside   bool        // others run
}

// join makes this server one of those on its database: the same key, a name of
// its own.
func (s *Server) join(ctx context.Context, st *store.Store) (*member, error) {
	c, err := cluster.Open(ctx, s.cfg.Data, st)
	if err != nil {
		return nil, err
	}
	m := &member{Cluster: c, leases: lease.New(st, s.cfg.Place())}
	if !st.Shared() {
		return m, nil
	}
	m.presence, err = m.leases.Take(ctx, replicaLease+s.cfg.Name(), s.reach)
	if fleet.CodeOf(err) == fleet.Locked {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot be replica %q: %w", s.cfg.Name(), err),
			"give each server of a database another name with replica = \"NAME\", or wait %v if that one has just died", lease.Life)
	}
	if err != nil {
		return nil, err
	}
	all, err := m.leases.All(ctx, replicaLease)
	for _, other := range all {
		m.beside = m.beside || other.Name != m.presence.Name
	}
	return m, err
}

// gone is after how long a server that gave no notice is not one of those on the
// database any more.
const gone = 24 * time.Hour

// others tells whether other servers on the database run, or may.
func (m *member) others(ctx context.Context) (bool, error) {
	if m.presence == nil {
		return false, nil
	}
	all, err := m.leases.Since(ctx, replicaLease, gone)
	for _, l := range all {
		if l.Name != m.presence.Name {
			return true, err
		}
	}
	return false, err
}

// begin prepares what must be there once on a database, one server after the
// other: of several that start on an empty one at once the first makes it.
func (m *member) begin(ctx context.Context, shared bool, fn func(context.Context) error) error {
	if !shared {
		return fn(ctx)
	}
	return m.leases.Do(ctx, "start", "", func(ctx context.Context, _ *lease.Held) error { return fn(ctx) })
}

// first makes the rows, the authority and the account that a fleet begins with.
func (s *Server) first(ctx context.Context, st *store.Store, m *member, accounts *access.Access) (authority *ca.Authority, err error) {
	err = m.begin(ctx, st.Shared(), func(ctx context.Context) error {
		self := setup.Self{ID: s.cfg.HostID(), Reach: s.reach, Depot: s.cfg.DepotFolder(), Beside: m.beside && s.cfg.Address == ""}
		if s.id, err = setup.Server(ctx, st, self); err != nil {
			return err
		}
		if st.Shared() {
			if err := keyring.Agree(ctx, m, authorityName, s.path("ca"), s.id, s.cfg.Now); err != nil {
				return err
			}
		}
		if authority, err = ca.Open(s.path("ca"), s.id, s.cfg.Now); err != nil {
			return err
		}
		return accounts.FirstAdministrator(ctx, s.cfg.AdminPassword, s.cfg.ShowPassword)
	})
	return authority, err
}

// renewName is how often a server says that it is there.
const renewName = lease.Life / 4

// serve keeps the server's name while it runs. A database that is away for long
// is no reason to end: the name is still there then. One that another server has
// taken meanwhile is.
func (m *member) serve() run.Func {
	return func(ctx context.Context) error {
		if m.presence == nil {
			<-ctx.Done()
			return nil
		}
		ticker := time.NewTicker(renewName)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewName)
				defer cancel()
				m.presence.Release(last) // else it lapses
				return nil
			case <-ticker.C:
			}
			if err := m.presence.Renew(ctx); errors.Is(err, lease.ErrLost) {
				return fleet.WithHint(fmt.Errorf("cannot go on as replica: %w", err), "give each server of a database another name with replica = \"NAME\"")
			}
		}
	}
}

// ClusterKey is the text of a data folder's cluster key, which is made if there
// is none.
func ClusterKey(cfg Config) (string, error) {
	s := &Server{cfg: cfg}
	if err := s.defaults(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
		return "", fmt.Errorf("cannot make data folder: %w", err)
	}
	k, _, err := cluster.OpenKey(s.cfg.Data)
	if err != nil {
		return "", err
	}
	return k.Text(), nil
}
