// Package server is fernwerkd: the place that knows all its parts and joins
// them. What a part needs of another it gets here, as a value or a small
// interface; the parts do not know each other.
//
// [New] opens everything and takes the port, so that whatever can go wrong at a
// start has gone wrong before anybody is told that the server is there; it
// starts nothing. [Server.Serve] works until its context ends. With a config
// server's address in its configuration it is a depot server: see branch.go.
//
//	DIR/lock         held while a server uses the folder
//	DIR/cluster.key  package cluster
//	DIR/fernwerkd.sock  for root on this machine, package httpapi
//	DIR/ca/          package ca
//	DIR/reports/     of tunnels that somebody else runs, package presence
//	DIR/acme/        certificates of public names, package acme
//	DIR/fernwerk.db  the store, unless it is in PostgreSQL
//	DIR/log/         package logs
//	DIR/depot/       the products, package depot
//	DIR/repository/  packages that tools upload; DIR/workbench/ those that people make
//	DIR/cache/       may be deleted while no server runs
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/access"
	"github.com/fernwerk/fernwerk/internal/server/bus"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/contact"
	"github.com/fernwerk/fernwerk/internal/server/depot"
	"github.com/fernwerk/fernwerk/internal/server/depot/packages"
	"github.com/fernwerk/fernwerk/internal/server/depot/repository"
	"github.com/fernwerk/fernwerk/internal/server/enrolment"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/feed"
	"github.com/fernwerk/fernwerk/internal/server/grid"
	"github.com/fernwerk/fernwerk/internal/server/health"
	"github.com/fernwerk/fernwerk/internal/server/httpapi"
	"github.com/fernwerk/fernwerk/internal/server/logs"
	"github.com/fernwerk/fernwerk/internal/server/reach"
	"github.com/fernwerk/fernwerk/internal/server/retention"
	"github.com/fernwerk/fernwerk/internal/server/setup"
	"github.com/fernwerk/fernwerk/internal/server/trust"
	"github.com/fernwerk/fernwerk/internal/server/updates"
)

// Config is what a server is made from; see [config.Config].
type Config = config.Config

// HostControl says how hosts are reached; see [config.HostControl].
type HostControl = config.HostControl

// Server is a server with everything opened.
type Server struct {
	cfg   Config
	reach string // HOST:PORT for clients
	id    string
	group run.Group
	opened
}

// opened is what has to be closed again, the last first.
type opened []func() error

func (o *opened) add(closer func() error) { *o = append(*o, closer) }

// closing closes a listener that whoever serves on it may have closed.
func closing(l interface{ Close() error }) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// Close gives back what New opened. Serve does it by itself.
func (o *opened) Close() error {
	var errs []error
	for i := len(*o) - 1; i >= 0; i-- {
		errs = append(errs, (*o)[i]())
	}
	*o = nil
	return errors.Join(errs...)
}

// New opens a server. Its first start on a folder makes what is missing: the
// folder, the certificate authority, the database, the first administrator.
// Call Serve or Close.
func New(ctx context.Context, cfg Config) (_ *Server, err error) {
	s := &Server{cfg: cfg}
	if err := s.defaults(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.takeFolder(); err != nil {
		return nil, err
	}
	listener, err := s.listen()
	if err != nil {
		return nil, err
	}
	if s.cfg.ConfigServer != "" {
		return s, s.openBranch(ctx, listener)
	}
	st, err := s.openStore(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.join(ctx, st)
	if err != nil {
		return nil, err
	}
	accounts := access.New(st, s.cfg.Log, s.cfg.Now)
	accounts.SealWith(m.Derive("sessions"))
	authority, err := s.first(ctx, st, m, accounts)
	if err != nil {
		return nil, err
	}
	keeper, err := s.keepAuthority(ctx, st, m, authority)
	if err != nil {
		return nil, err
	}
	certificate, err := authority.ServerCertificate(s.cfg.CertificateNames(s.reach), s.cfg.Log)
	if err != nil {
		return nil, err
	}
	keeper.Changed = certificate.Renew
	shown, err := s.publicName(m, certificate.TLS())
	if err != nil {
		return nil, err
	}
	hostLogs, err := logs.Open(s.path("log"))
	if err != nil {
		return nil, err
	}
	s.add(hostLogs.Close)
	sharing := m.leases
	if !st.Shared() {
		sharing = nil
	}
	signed, err := s.contentTrust(ctx, st, m)
	if err != nil {
		return nil, err
	}
	products, err := depot.New(depot.Config{
		Dir: s.cfg.DepotFolder(), Cache: s.path("cache", "chunks"), Ledger: depots.Ledger{DepotID: s.id}, Log: s.cfg.Log, Now: s.cfg.Now, Actor: actor,
		Peer:   depot.PeerAs(authority.Roots, nil, func(ctx context.Context) (user, password string, err error) { return setup.Credentials(ctx, st, s.id) }),
		Leases: sharing,
	})
	if err != nil {
		return nil, err
	}
	files, err := s.packageFolders(products)
	if err != nil {
		return nil, err
	}
	ports := methods.Ports{
		Logs:      hostLogs,
		Accounts:  accounts.Accounts(s.id),
		Info:      map[string]any{"opsiVersion": "4.3", "version": s.cfg.Version, "program": "fernwerkd", "simulation": s.cfg.AllowSimulation},
		Authority: authority.Roots,
		Depot:     files, Certificates: authority, Trust: signed,
	}
	script, err := s.openFeed(st)
	if err != nil {
		return nil, err
	}
	ports.Feed = script
	joins := s.letJoin(st, authority, accounts, signed)
	ports.Enrolment = joins
	messages := bus.New(bus.Config{Store: st, Alone: !st.Shared(), Ended: identity.EndTopic, Actor: httpapi.Actor, Proof: accounts.Proof, Bound: accounts.Bound, Log: s.cfg.Log, Now: s.cfg.Now})
	ports.Reach = s.reachHosts(messages, authority.Roots)
	published := s.publishes(st, signed)
	ports.Updates = published
	nodes, err := s.openGrid(ctx, st, m, joins, signed)
	if err != nil {
		return nil, err
	}
	nodes.Ports(&ports)
	backend := catalog.New(st, ports)
	messages.Answer(backend)
	answers := s.path("cache", "answers")
	if err := os.MkdirAll(answers, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make folder for large answers: %w", err)
	}
	products.Backend = backend // each answers through the other
	well, counts := s.watch(st, accounts, messages, signed)
	nodes.Count(counts)
	api := &httpapi.Server{
		Replica: s.cfg.Name(), Drain: time.Duration(s.cfg.Drain) * time.Second,
		Version: s.cfg.Version, Listener: listener, Local: s.listenLocal(), TLS: joins.asksForCertificates(shown), Log: s.cfg.Log, Now: s.cfg.Now,
		Parts: httpapi.Parts{
			RPC:        &rpc.Handler{Backend: counts.Backend(backend), Authenticate: httpapi.Actor, Log: s.cfg.Log, Scratch: answers},
			Chunks:     products.Chunks(),
			Packages:   packages.Handler(products),
			WebDAV:     products.WebDAV(),
			Trust:      signed.Handler(),
			Bus:        messages,
			Feed:       script.Handler(),
			Repository: files.PackagesDAV,
			Workbench:  files.WorkbenchDAV,
			Authority:  authority.Roots,
			Logout:     accounts.Logout,
			Health:     func(ctx context.Context) (any, error) { return well.Check(ctx) },
			Stopping:   well.Stopping,
			Metrics:    counts.Handler(),
			Token:      s.cfg.MetricsToken,
			Observe:    counts.Request,
		},
	}
	joins.parts(&api.Parts)
	nodes.Parts(&api.Parts)
	api.Parts.Updates = published.Handler(httpapi.Actor, httpapi.Refuse)
	s.group.Log = s.cfg.Log
	s.group.StopWithin = run.DefaultStopWithin + api.Drain
	s.group.Add("store", st)
	s.group.Add("replica", m.serve())
	s.group.Add("authority", keeper)
	s.group.Add("certificate", certificate)
	s.group.Add("identities", identity.Sweeper{Identities: joins.Identities, Log: s.cfg.Log})
	s.group.Add("access", accounts)
	s.group.Add("audit", accounts.Audit())
	if s.cfg.AuditKeep > 0 {
		s.group.Add("retention", &retention.Journal{Store: st, Keep: time.Duration(s.cfg.AuditKeep) * 24 * time.Hour, Log: s.cfg.Log})
	}
	s.group.Add("updates", published)
	s.group.Add("depot", products)
	s.group.Add("trust", signed)
	nodes.Add(&s.group)
	s.group.Add("bus", messages)
	if script.Listener != nil {
		s.group.Add("feed", script)
	}
	s.group.Add("http", api) // last: it stops first
	s.cfg.Log.Info("Server opened", "id", s.id, "replica", s.cfg.Name(), "address", s.URL(), "data", s.cfg.Data, "ca", s.path("ca", "ca.pem"), "fingerprint", authority.Fingerprint())
	return s, nil
}

// openGrid makes what follows from a node that appears.
func (s *Server) openGrid(ctx context.Context, st *store.Store, m *member, joins *joining, signed *trust.Trust) (*grid.Grid, error) {
	g, err := grid.Open(ctx, grid.Config{Config: s.cfg, ID: s.id, Reach: s.reach, Path: s.path, Store: st, Leases: m.leases,
		Authority: joins.authority, Derive: m.Derive, Agree: m.Agree, Secrets: m.Cluster, Vault: m, Signed: signed.Signed, Others: m.others, Host: joins.host})
	if err == nil {
		s.add(g.Close)
	}
	return g, err
}

// reachHosts is the server's way to its hosts.
func (s *Server) reachHosts(messages *bus.Bus, authority func() []byte) *reach.Reach {
	h := s.cfg.HostControl
	broadcast, _ := h.Broadcasts() // defaults has checked it
	return reach.New(reach.Config{Bus: messages, Authority: authority, Trust: h.Trust, Port: h.Port, Broadcast: broadcast, Version: s.cfg.Version})
}

// packageFolders are the repository and the workbench, beside the depot as opsi
// has them.
func (s *Server) packageFolders(products *depot.Depot) (*repository.Repository, error) {
	beside := filepath.Dir(s.cfg.DepotFolder())
	return repository.New(products, filepath.Join(beside, "repository"), filepath.Join(beside, "workbench"))
}

// Accounts has fn work on the accounts of a server that does not run: failed
// logins are in a running one's memory. A folder that no server has
// used is NotFound, one that a server uses is Locked.
func Accounts(ctx context.Context, cfg Config, fn func(*access.Access) error) error {
	return stopped(ctx, cfg, func(s *Server, st *store.Store) error {
		return fn(access.New(st, s.cfg.Log, s.cfg.Now))
	})
}

// stopped has fn work on the data of a server that does not run.
func stopped(ctx context.Context, cfg Config, fn func(*Server, *store.Store) error) (err error) {
	s := &Server{cfg: cfg}
	if err := s.defaults(); err != nil {
		return err
	}
	if _, err := os.Stat(s.path("lock")); errors.Is(err, fs.ErrNotExist) {
		return notUsed(s.cfg.Data)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.takeFolder(); err != nil {
		return err
	}
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	return fn(s, st)
}

// ID is the host id of the config server.
func (s *Server) ID() string { return s.id }

// URL is where clients reach the server: https://HOST:PORT.
func (s *Server) URL() string { return "https://" + s.reach }

// Serve answers until ctx ends, and closes the server. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	return errors.Join(s.group.Serve(ctx), s.Close())
}

func (s *Server) path(parts ...string) string {
	return filepath.Join(append([]string{s.cfg.Data}, parts...)...)
}

func (s *Server) defaults() (err error) {
	c := &s.cfg
	c.Version = cmp.Or(c.Version, "unknown")
	c.Listen = cmp.Or(c.Listen, config.DefaultListen)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = slog.New(httpapi.Lines(c.Log.Handler()))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ShowPassword == nil {
		c.ShowPassword = func(name, password string) error {
			_, err := fmt.Fprintf(os.Stderr, "first administrator: %s, password: %s\n", name, password)
			return err
		}
	}
	if c.Data == "" {
		if c.Data, err = config.DataFolder(); err != nil {
			return err
		}
	}
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return fmt.Errorf("cannot use data folder: %w", err)
	}
	return c.Check()
}

// takeFolder takes a data folder that is whole.
func (s *Server) takeFolder() error {
	if err := s.lockFolder(); err != nil {
		return err
	}
	half, err := there(s.path(restoring))
	if err == nil && half {
		err = fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot use data folder %s: a backup is half restored there", s.cfg.Data), "run fernwerkd restore again")
	}
	return err
}

// lockFolder makes the data folder and keeps other servers out of it.
func (s *Server) lockFolder() error {
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
		return fleet.WithHint(fmt.Errorf("cannot make data folder: %w", err), "name a folder that you may write with --data")
	}
	if err := atomicfile.SyncDir(filepath.Dir(s.cfg.Data)); err != nil {
		return fmt.Errorf("cannot make data folder: %w", err)
	}
	lock, err := filelock.Acquire(s.path("lock"))
	if held, ok := errors.AsType[*filelock.HeldError](err); ok {
		return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot use data folder %s: process %d uses it", s.cfg.Data, held.PID),
			"stop that fernwerkd, or give this one another folder with --data")
	}
	if err != nil {
		return fmt.Errorf("cannot use data folder: %w", err)
	}
	s.add(lock.Release)
	return nil
}

func (s *Server) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.cfg.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot listen on %s: another program does: %w", s.cfg.Listen, err),
			"stop that program, or choose another port with --listen HOST:PORT")
	case errors.Is(err, syscall.EACCES):
		return nil, fleet.WithHint(fmt.Errorf("cannot listen on %s: %w", s.cfg.Listen, err), "ports below 1024 are root's: choose another with --listen HOST:PORT")
	case err != nil:
		return nil, fleet.WithHint(fmt.Errorf("cannot listen on %s: %w", s.cfg.Listen, err), "choose an address of this machine with --listen HOST:PORT")
	}
	s.add(closing(l))
	s.reach = s.cfg.Reach(l.Addr())
	return l, nil
}

// Socket is the name in the data folder of the socket for this machine.
const Socket = "fernwerkd.sock"

// listenLocal makes the socket for this machine. A server that can do without it
// does: a path may be too long for a socket (107 bytes on Linux).
func (s *Server) listenLocal() net.Listener {
	l, err := httpapi.ListenLocal(s.path(Socket))
	if err != nil {
		s.cfg.Log.Warn("No socket for root on this machine", "error", err)
		return nil
	}
	s.add(closing(l))
	return l
}

func (s *Server) openStore(ctx context.Context) (*store.Store, error) {
	db, err := s.openDatabase(ctx)
	if err != nil {
		return nil, err
	}
	own := []*fleet.Class{access.Accounts, access.EndedSessions, cluster.Secrets, lease.Class, health.Class, feed.Class}
	return store.Open(ctx, db, s.cfg.Now, slices.Concat(own, ca.Classes(), enrolment.Classes(), []*fleet.Class{contact.Rows}, bus.Classes(), trust.Classes(), updates.Classes(), grid.Classes(), catalog.Classes())...)
}

func (s *Server) openDatabase(ctx context.Context) (db *sqldb.DB, err error) {
	if s.cfg.Database != "" {
		db, err = postgres.Open(ctx, s.cfg.Database)
		err = fleet.WithHint(err, "check that PostgreSQL runs and that the database URL is right")
	} else {
		db, err = sqlite.Open(s.path("fernwerk.db"))
	}
	if err != nil {
		return nil, err
	}
	s.add(db.Close)
	return db, nil
}

// actor is who sends a request, for what the depot does in his name.
func actor(r *http.Request) methods.Actor {
	a, _ := httpapi.Actor(r) // the route lets nobody in who is not known
	return a
}
