package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// DefaultStopWithin is how long a service gets to stop when [Group] names
// nothing else. Ten seconds is well inside systemd's 90.
const DefaultStopWithin = 10 * time.Second

// ErrEnded is the cause reported for a service that returned nil although
// nobody had asked it to stop.
var ErrEnded = errors.New("ended without being asked to")

// Group is a list of named services that live and fail together. The zero
// value is ready to use; a Group serves once.
type Group struct {
	// StopWithin bounds the stop of each single service; 0 means
	// [DefaultStopWithin].
	StopWithin time.Duration
	// Log gets a line for each start and stop, and those failures that are not
	// the group's result. nil is silent.
	Log *slog.Logger

	members []*member
}

// member is a service and the end of its life.
type member struct {
	name    string
	service Service
	cancel  context.CancelFunc
	err     error         // valid once done is closed
	done    chan struct{} // closed when Serve has returned
}

// Add puts a service at the end of the list: it starts after, and stops before,
// all that were added earlier.
func (g *Group) Add(name string, s Service) {
	g.members = append(g.members, &member{name: name, service: s, done: make(chan struct{})})
}

// Serve starts the services in order and waits until ctx ends or one of them
// returns; then it stops them one after the other, last one first. The result
// is the first real error, which names its service: nil after a clean stop that
// ctx asked for. A service still running when its time is over is an error and
// is left behind; the caller is expected to end the process.
//
// Services start in order but are not waited for: one that needs another to be
// ready (a listener) takes what it needs as a value made before Serve.
func (g *Group) Serve(ctx context.Context) error {
	log := g.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// The members do not see the end of ctx itself, else they would all stop at
	// once and the order would mean nothing.
	base := context.WithoutCancel(ctx)
	ended := make(chan *member, len(g.members))
	for _, m := range g.members {
		var own context.Context
		own, m.cancel = context.WithCancel(base)
		log.Debug("Service starts", "service", m.name)
		go func() {
			defer func() { close(m.done); ended <- m }()
			m.err = m.service.Serve(own)
		}()
	}

	var first error
	var failed *member
	select {
	case <-ctx.Done():
	case failed = <-ended:
		first = fmt.Errorf("service %s: %w", failed.name, cmp.Or(failed.err, ErrEnded))
	}

	within := g.StopWithin
	if within == 0 {
		within = DefaultStopWithin
	}
	for i := len(g.members) - 1; i >= 0; i-- {
		m := g.members[i]
		err := m.stop(within)
		log.Debug("Service stopped", "service", m.name, "error", err)
		switch {
		case err == nil || m == failed:
		case first == nil:
			first = err
		default:
			log.Warn("Service stopped with an error", "service", m.name, "error", err)
		}
	}
	return first
}

// stop asks the member to stop and waits. Having been cancelled is not an
// error; anything else is, also a deadline: the context had none.
func (m *member) stop(within time.Duration) error {
	early := false // it had ended before it was asked
	select {
	case <-m.done:
		early = true
	default:
	}
	m.cancel()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-m.done:
	case <-timer.C:
		return fmt.Errorf("cannot stop service %s: still running after %v", m.name, within)
	}
	if m.err == nil || (!early && errors.Is(m.err, context.Canceled)) {
		return nil
	}
	return fmt.Errorf("service %s: %w", m.name, m.err)
}
