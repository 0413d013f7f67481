package httpapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// refusedReading is how long we still listen to what a refused caller sends.
const refusedReading = 10 * time.Second

// strangersReading is how long somebody whom we do not know may take to send the
// little that he may send.
const strangersReading = time.Minute

type contextKey struct{}

// caller is what the layers know of a request.
type caller struct {
	request string
	actor   methods.Actor
	err     error // of the login
}

// Actor is who sends a request, as the login layer found it. Parts that answer
// those who did not log in themselves get the error.
func Actor(r *http.Request) (methods.Actor, error) {
	c, ok := r.Context().Value(contextKey{}).(*caller)
	if !ok {
		return methods.Actor{}, fleet.Errorf(fleet.Unauthenticated, "cannot answer without user name and password")
	}
	return c.actor, c.err
}

// Lines is a log handler that adds to each line which request it belongs to, if
// it was written with that request's context.
func Lines(next slog.Handler) slog.Handler { return &lines{next} }

type lines struct{ slog.Handler }

func (l *lines) Handle(ctx context.Context, line slog.Record) error {
	c, ok := ctx.Value(contextKey{}).(*caller)
	if ok {
		line.Attrs(func(a slog.Attr) bool { ok = a.Key != "request"; return ok })
	}
	if ok {
		line.AddAttrs(slog.String("request", c.request))
	}
	return l.Handler.Handle(ctx, line)
}

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler { return &lines{l.Handler.WithAttrs(attrs)} }
func (l *lines) WithGroup(name string) slog.Handler       { return &lines{l.Handler.WithGroup(name)} }

// surround is what every request goes through, whatever it asks for.
func (s *Server) surround(next http.Handler) http.Handler {
	banner := s.banner()
	foreign := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &caller{request: strings.ToLower(rand.Text()[:12])}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, c))
		out := &writer{ResponseWriter: w, control: http.NewResponseController(w)}
		h := w.Header()
		h.Set("Server", banner)
		h.Set("X-Date-Unix-Timestamp", strconv.FormatInt(s.Now().Unix(), 10)) // opsi clients set their clock by it
		h.Set("X-Opsi-Server-Role", "configserver")
		h.Set("X-Request-Id", c.request)
		if s.Replica != "" {
			h.Set("X-Fernwerk-Replica", s.Replica)
			h.Set("X-Opsi-Worker-Id", s.Replica+":1") // opsi's NODE:WORKER
		}
		// The deadline of the answer before, on this connection, is not this one's:
		// its time may be over while a body is still awaited.
		out.control.SetWriteDeadline(time.Time{})
		defer s.record(out, r, c, start)
		defer out.renew() // for what is still to be flushed
		defer s.shelter(out, r, c)
		if err := foreign.Check(r); err != nil {
			refuse(out, r, fleet.Errorf(fleet.Denied, "cannot take request: %w", err))
			return
		}
		next.ServeHTTP(out, r)
	})
}

// guard lets those through to a route who may use it.
func (s *Server) guard(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route.access != public && !(route.token && s.bears(r)) {
			c := r.Context().Value(contextKey{}).(*caller)
			c.actor, c.err = s.authenticate(w, r)
			c.actor.Request = c.request
			if c.err == nil {
				w.Header().Set("X-Opsi-User-Id", c.actor.ID)
			}
			if c.err == nil && !route.access.allows(c.actor.Role) {
				c.err = fleet.Errorf(fleet.Denied, "cannot use %s: not allowed for %s %s", r.URL.Path, c.actor.Role, c.actor.ID)
			}
			var done func()
			if c.err == nil {
				if done, c.err = s.turns.take(c.actor, time.Now()); done != nil {
					defer done()
				}
			}
			if c.err != nil {
				http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedReading))
				if !route.refuses {
					refuse(w, r, c.err)
					return
				}
			}
		}
		if route.access == public && route.body != none {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(cmp.Or(s.reading, strangersReading)))
		}
		if route.body != unlimited {
			r.Body = http.MaxBytesReader(w, r.Body, route.body)
		}
		route.handler.ServeHTTP(w, r)
	})
}

// shelter turns a panic into an error of one request. An answer under way is
// broken off, so that its reader does not take it for whole.
func (s *Server) shelter(w *writer, r *http.Request, c *caller) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.Log.Error("Handler panicked", "path", r.URL.Path, "request", c.request, "panic", p, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	answer(w, http.StatusInternalServerError, fault(fleet.Internal, "internal error (request "+c.request+")", ""))
}

// record is the access log. It has paths but no queries: a GET of /rpc carries
// its call there, secrets included.
func (s *Server) record(w *writer, r *http.Request, c *caller, start time.Time) {
	if s.Parts.Observe != nil {
		s.Parts.Observe(r.Pattern, max(w.status, http.StatusOK), w.bytes, time.Since(start))
	}
	level := slog.LevelInfo
	if r.Pattern == "GET /healthz" || r.Pattern == "GET /metrics" {
		level = slog.LevelDebug
	}
	s.Log.LogAttrs(r.Context(), level, "Request",
		slog.String("request", c.request), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", max(w.status, http.StatusOK)), slog.Int64("bytes", w.bytes), slog.Duration("took", time.Since(start)),
		slog.String("actor", string(c.actor.Role)+" "+c.actor.ID), slog.String("address", r.RemoteAddr))
}
