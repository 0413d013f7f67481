// Package httpapi is the server's face: one HTTPS port for opsi's protocol and
// what stands beside it.
//
// What is answered stands in one table (route.go): pattern, who may, how large a
// request may be, and the part that answers. Around every route go the same
// layers: a request id, the access log, shelter from panics, refusal of what
// foreign web pages send, the login.
//
// # Slow lines
//
// A download may take hours and a caller may send a byte a second once it is
// logged in, so there is no limit on the time of a request. What is limited is
// standstill: headers take 20 seconds, an idle connection lives 3 minutes, and
// whoever takes less than 64 KiB in 2 minutes is gone. Nobody's body is read
// before he is known; where strangers may send one, it has a minute.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"crypto/tls"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

const (
	headerTime = 20 * time.Second
	idleTime   = 3 * time.Minute // opsi clients keep a connection for two
	maxHeader  = 64 << 10
	// stopTime is for requests under way when the server stops; a download that
	// takes longer is cut, and resumed by its client.
	stopTime = 4 * time.Second
)

// Parts are the rest of the server, as far as it is there.
type Parts struct {
	RPC      http.Handler // /rpc
	Chunks   http.Handler // /v1/depot/...: trees by chunks
	Packages http.Handler // /v1/packages...: list, install, remove
	WebDAV   http.Handler // /depot/...: trees as files, to be read
	Bus      http.Handler // /messagebus/v1
	Feed     http.Handler // /feed/...
	Trust    http.Handler // /v1/trust/...: what was signed about content
	Updates  http.Handler // /v1/updates: what a host is to run once
	// What hosts and machines that want to be some ask for: see the package enrol.
	Join, Renew, Contact Asked
	Tunnel               Asked        // /v1/tunnel/...
	Mesh                 Asked        // /v1/mesh
	Files, FileBlob      Asked        // /v1/files: the files of a node's type
	LAN                  Asked        // /v1/lan
	Revocations          http.Handler // /v1/crl
	BareNodes            http.Handler // /v1/gen_certif
	// /repository/... and /workbench/...: packages, to be read and written.
	Repository, Workbench http.Handler

	// Authority are the certificates that clients trust now, in PEM.
	Authority func() []byte
	// Authenticate says who sends a request; it may set headers.
	Authenticate func(http.ResponseWriter, *http.Request) (methods.Actor, error)
	// Logout ends the session of a request.
	Logout func(http.ResponseWriter, *http.Request) error
	// Health is nil while the server can do its work; parts tells administrators
	// what works. Stopping makes it an error.
	Health   func(context.Context) (parts any, err error)
	Stopping func()
	// Metrics is for watchers, or who bears Token.
	Metrics http.Handler // /metrics
	Token   string
	// Observe is told of each answer; route is a pattern of the table.
	Observe func(route string, status int, bytes int64, took time.Duration)
}

// Asked answers a request with plain data, which is written as JSON, or an error.
type Asked func(http.ResponseWriter, *http.Request) (v any, status int, err error)

// handler is nil for a part that is not there.
func (ask Asked) handler() http.Handler {
	if ask == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, status, err := ask(w, r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		answer(w, status, v)
	})
}

// Server serves the table on a listener.
type Server struct {
	Parts    Parts
	Version  string // of fernwerk
	Listener net.Listener
	Local    net.Listener // the Unix socket; nil for none
	TLS      *tls.Config
	Log      *slog.Logger
	Now      func() time.Time
	Replica  string        // which of several servers this is
	Drain    time.Duration // between saying that it stops, and stopping

	turns   turns
	reading time.Duration // for what strangers send; 0 is strangersReading
}

// Serve answers until ctx ends, then finishes what is under way.
func (s *Server) Serve(ctx context.Context) error {
	handler, err := s.Handler()
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           handler,
		TLSConfig:         s.TLS,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // handshakes that strangers broke off
	}
	serving := []func() error{s.until(ctx, srv, func() error { return srv.ServeTLS(&listener{Listener: s.Listener, log: s.Log}, "", "") })}
	if s.Local != nil {
		near := &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
			ErrorLog: srv.ErrorLog, ConnContext: withPeer}
		serving = append(serving, s.until(ctx, near, func() error { return near.Serve(s.Local) }))
	}
	ended := make(chan error, len(serving))
	for _, serve := range serving {
		go func() { ended <- serve() }()
	}
	errs := make([]error, 0, len(serving))
	for range serving {
		err := <-ended
		if errs = append(errs, err); err != nil && ctx.Err() == nil {
			return err // the other one ends with ctx
		}
	}
	return errors.Join(errs...)
}

// until has a server serve until ctx ends, and then finish what is under way.
func (s *Server) until(ctx context.Context, srv *http.Server, serve func() error) func() error {
	return func() error {
		stopped := make(chan error, 1)
		stop := context.AfterFunc(ctx, func() {
			if s.Parts.Stopping != nil {
				s.Parts.Stopping()
			}
			time.Sleep(s.Drain) // load balancers ask meanwhile
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			err := srv.Shutdown(within)
			if errors.Is(err, context.DeadlineExceeded) {
				s.Log.Info("Requests cut at stop", "after", stopTime)
				err = srv.Close()
			}
			stopped <- err
		})
		defer stop()
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("cannot serve: %w", err)
		}
		return <-stopped
	}
}

// Handler is the table behind its layers.
func (s *Server) Handler() (http.Handler, error) { return s.handler(s.routes()) }

func (s *Server) handler(routes []route) (http.Handler, error) {
	mux := http.NewServeMux()
	for _, r := range routes {
		switch r.access {
		case public, known, watchers, administrators:
		default:
			return nil, fmt.Errorf("cannot serve %s: it says nothing about access", r.pattern)
		}
		if r.handler != nil {
			mux.Handle(r.pattern, s.guard(r))
		}
	}
	return s.surround(mux), nil
}

func (s *Server) authority() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(s.Parts.Authority())
	})
}

func (s *Server) logout() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Parts.Logout(w, r); err != nil {
			refuse(w, r, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{})
	})
}

// banner is the Server header. opsi clients derive from the number after "opsi"
// what the server can do.
func (s *Server) banner() string {
	return "opsiconfd 4.3.24 (fernwerk " + strings.Map(printable, s.Version) + ")"
}

func printable(r rune) rune {
	if r < ' ' || r > '~' || strings.ContainsRune("()", r) {
		return -1
	}
	return r
}
