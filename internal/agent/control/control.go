// Package control is the agent's own service on this machine: the seed's
// control interface, and the access point to the cached configuration.
//
// It listens on the loopback interface (port 4441) with a certificate that it
// made itself. Whoever has the host key, which only the machine's own
// administrators can read, may use it:
//
//   - /rpc answers what the config service answers, from the cache. Product
//     scripts and opsi's tools ask here while no server is in reach.
//   - /opsiclientd steers the agent: fire an event, look at its state.
//   - /info is for a browser: what the agent does, on a line of time.
//
// A browser keeps the key once it was told. So that no page of somebody else uses it,
// what a browser says comes from elsewhere is refused, see [ownPages].
//
// There is no method that runs a command: remote execution would be a door past
// the signature.
package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Config is what the service needs.
type Config struct {
	DataDir string
	Listen  string // host:port; the host must be a loopback address
	HostID  string
	HostKey string
	Version string
	Cache   methods.Backend // answers /rpc
	Agent   Agent           // answers /opsiclientd
	Info    http.Handler    // answers /info; nil: nothing is there
	Log     *slog.Logger
}

// Service is the local service.
type Service struct {
	cfg      Config
	listener net.Listener
	server   *http.Server

	mu     sync.Mutex
	failed int // logins since the last good one
}

// Listen opens the port and makes the certificate, so that whoever is told the
// address can connect; [Service.Serve] answers.
func Listen(cfg Config) (*Service, error) {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %q: %w", cfg.Listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot listen at %s: the local service is for this machine only", cfg.Listen), "use 127.0.0.1:4441")
	}
	if cfg.HostKey == "" {
		return nil, errors.New("cannot start the local service: without a host key it would be open to everybody")
	}
	cert, err := certificate(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot start the local service: %w", err),
			"another agent may be running; else choose another port in [control_server]")
	}
	s := &Service{cfg: cfg, listener: listener}
	mux := http.NewServeMux()
	mux.Handle("/rpc", &rpc.Handler{Backend: cfg.Cache, Authenticate: s.authenticate, Log: cfg.Log})
	mux.Handle("/rpc/", &rpc.Handler{Backend: cfg.Cache, Authenticate: s.authenticate, Log: cfg.Log})
	mux.Handle("/opsiclientd", &rpc.Handler{Backend: Methods(cfg.Agent), Authenticate: s.authenticate, Log: cfg.Log})
	if cfg.Info != nil {
		mux.Handle(infoPath, s.forBrowsers(cfg.Info))
		mux.Handle("/{$}", http.RedirectHandler(infoPath, http.StatusFound))
	}
	s.server = &http.Server{
		Handler:           named("opsiclientd config cache service 4.3.24 (fernwerk "+cfg.Version+")", ownPages(mux)),
		TLSConfig:         tlsConfig(cert),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, writeAddress(cfg.DataDir, listener.Addr().String())
}

func named(server string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", server)
		next.ServeHTTP(w, r)
	})
}

// Addr is where the service listens.
func (s *Service) Addr() string { return s.listener.Addr().String() }

// Close gives the port back without having served.
func (s *Service) Close() error { return s.listener.Close() }

// Serve answers until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.server.ServeTLS(s.listener, "", "") }()
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve at %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := s.server.Shutdown(stop); err != nil {
		s.server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

// maxFailures in a row slow the next login down; only processes of this machine
// can try.
const maxFailures = 5

// authenticate lets in whoever has the host key, under any user name, as opsi's
// control server does.
func (s *Service) authenticate(r *http.Request) (methods.Actor, error) {
	_, password, _ := r.BasicAuth()
	want, got := sha256.Sum256([]byte(s.cfg.HostKey)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		s.mu.Lock()
		s.failed = 0
		s.mu.Unlock()
		return methods.Actor{Role: methods.Administrator, ID: s.cfg.HostID, Address: r.RemoteAddr}, nil
	}
	s.mu.Lock()
	s.failed++
	wait := s.failed > maxFailures
	s.mu.Unlock()
	if wait {
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
	}
	return methods.Actor{}, fleet.Errorf(fleet.Unauthenticated, "cannot log in to the agent: the password is not the host key")
}
