// Package messages is the agent's permanent connection to the server's message
// bus. By it the server reaches a machine behind any line and any firewall: an
// administrator fires an event, and it occurs at once.
//
// What is asked is answered by the methods of the control interface, which is
// where it is decided what may be asked: nothing that executes commands. The
// connection is a convenience. Everything works without it, and whatever goes
// wrong with it is logged and tried again, between reconnect_wait_min and
// reconnect_wait_max seconds later, not before the time that the server names.
//
// At rest it costs two goroutines, small buffers, and a ping every [pingEvery]:
// often enough for the routers on the way, which forget quiet connections.
package messages

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

const (
	pingEvery = 50 * time.Second
	pongTime  = 20 * time.Second
	// maxCalls is how many questions are answered at once; further ones wait.
	maxCalls = 4
	callTime = 5 * time.Minute
	// noBus is the least wait for a server that has no bus or does not let us in.
	noBus = 10 * time.Minute
)

// Wishes are what the configuration says of the connection.
type Wishes struct {
	Permanent bool
	Min, Max  time.Duration // between two tries
}

// Config is what the connection needs.
type Config struct {
	HostID  string
	Options func() (bus.Options, error) // of the server, as this host
	Wishes  func(context.Context) (Wishes, error)
	Changed <-chan struct{} // the wishes may be others
	Control methods.Backend // answers what is asked
	Log     *slog.Logger
}

// Service keeps the connection.
type Service struct{ cfg Config }

// New makes the service; it connects while Serve runs.
func New(cfg Config) *Service { return &Service{cfg} }

// Serve keeps the connection until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	said := "" // each trouble is worth one warning
	for ctx.Err() == nil {
		w, err := s.cfg.Wishes(ctx)
		if err != nil {
			return err
		}
		if !w.Permanent {
			select {
			case <-s.cfg.Changed:
			case <-ctx.Done():
			}
			continue
		}
		connected, err := s.connection(ctx)
		if ctx.Err() != nil || err == nil {
			continue // it ends, or the wishes changed
		}
		wait := pauseAfter(err, w)
		level := slog.LevelDebug
		if text := string(fleet.CodeOf(err)); connected || text != said {
			said, level = text, slog.LevelInfo
		}
		s.cfg.Log.Log(ctx, level, "no connection to the message bus", "error", err, "again in", wait.Round(time.Second))
		s.rest(ctx, wait)
	}
	return ctx.Err()
}

// rest waits; a change of the configuration ends it.
func (s *Service) rest(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.cfg.Changed:
	case <-ctx.Done():
	}
}

// pauseAfter is how long not to try again: drawn between the two bounds, after
// the time that the server named.
func pauseAfter(err error, w Wishes) time.Duration {
	wait := w.Min + rand.N(max(w.Max-w.Min, 0)+1)
	switch fleet.CodeOf(err) {
	case fleet.NotHere, fleet.Unauthenticated, fleet.Denied:
		wait = max(wait, noBus)
	}
	return wait + retry.Hint(err)
}

// connection is one connection, from dialing to its end. The error is nil when
// the wishes may have changed.
func (s *Service) connection(ctx context.Context) (connected bool, err error) {
	options, err := s.cfg.Options()
	if err != nil {
		return false, err
	}
	conn, err := bus.Dial(ctx, options)
	if err != nil {
		return false, err
	}
	s.cfg.Log.Info("connected to the message bus", "server", options.Server)
	ctx, cancel := context.WithCancelCause(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		cancel(s.read(ctx, conn))
	}()
	defer func() { cancel(nil); conn.Close(); <-read }()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, context.Cause(ctx)
		case <-s.cfg.Changed:
			if w, err := s.cfg.Wishes(ctx); err != nil || !w.Permanent {
				return true, err
			}
		case <-tick.C:
			within, end := context.WithTimeout(ctx, pongTime)
			err := conn.Ping(within)
			end()
			if err != nil {
				return true, fleet.Errorf(fleet.Unavailable, "the message bus is silent: %w", err)
			}
		}
	}
}

// read answers what is asked until the connection ends.
func (s *Service) read(ctx context.Context, conn *bus.Connection) error {
	calls := make(chan struct{}, maxCalls)
	defer func() {
		for range maxCalls { // those under way end with ctx
			calls <- struct{}{}
		}
	}()
	for {
		m, err := conn.Read(ctx)
		switch code := fleet.CodeOf(err); {
		case code == fleet.Invalid, code == fleet.TooLarge: // the next one may be fine
			s.cfg.Log.Warn("message of the bus is not readable", "error", err)
			continue
		case err != nil:
			return err
		}
		switch {
		case m.Type == bus.TraceRequest:
			body := map[string]any{"req_trace": m.Body["trace"], "payload": m.Body["payload"], "trace": map[string]any{"sender_ws_send": time.Now().UnixMilli()}}
			err = conn.Write(ctx, m.Answer(bus.TraceResponse, body, time.Now()))
		case m.Type == bus.Request && m.Channel == bus.HostPrefix+s.cfg.HostID:
			select {
			case calls <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() {
				defer func() { <-calls }()
				s.answer(ctx, conn, m)
			}()
		case bus.Executes(m.Type):
			err = conn.Write(ctx, m.Refusal(fleet.Errorf(fleet.Denied, "cannot take %s: this agent executes nothing but signed packages", m.Type), time.Now()))
		}
		if err != nil {
			return err
		}
	}
}

// answer calls the control interface.
func (s *Service) answer(ctx context.Context, conn *bus.Connection, m bus.Message) {
	within, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	method := m.Text("method")
	params, _ := m.Body["params"].([]any)
	s.cfg.Log.Info("asked by the message bus", "method", method, "sender", m.Sender)
	result, err := s.cfg.Control.Call(within, methods.Actor{Role: methods.Administrator, ID: "message bus"}, method, methods.Params{Positional: params})
	body := map[string]any{"rpc_id": m.Text("rpc_id"), "result": result}
	if err != nil {
		s.cfg.Log.Info("refused by the control interface", "method", method, "error", err)
		body = map[string]any{"rpc_id": m.Text("rpc_id"), "error": rpc.Fault(err, false)}
	}
	err = conn.Write(ctx, m.Answer(bus.Response, body, time.Now()))
	if fleet.CodeOf(err) == fleet.TooLarge {
		body = map[string]any{"rpc_id": m.Text("rpc_id"), "error": rpc.Fault(err, false)}
		err = conn.Write(ctx, m.Answer(bus.Response, body, time.Now()))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		s.cfg.Log.Debug("answer does not reach the message bus", "method", method, "error", err)
	}
}
