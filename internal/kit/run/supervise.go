package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/thejerf/suture/v4"
)

// Restart policy of [Supervise]: three failures in short order are answered at
// once, then each further one waits, until failures have become rare again.
const (
	failureThreshold = 3
	failureHalfLife  = 60 // seconds in which the count of failures halves
	failureBackoff   = 15 * time.Second
)

// Supervise returns a service that keeps svc running: it is started again when
// it fails, panics or ends before ctx does. Serve itself returns nil once ctx
// has ended and svc has stopped; a svc that does not stop within
// [DefaultStopWithin] is an error that names it.
//
// svc cannot ask to be left alone: what should end is ended by its owner
// through ctx.
func Supervise(name string, svc Service, log *slog.Logger) Service {
	return Func(func(ctx context.Context) error {
		sup := suture.New(name, suture.Spec{
			EventHook:        func(e suture.Event) { logEvent(log, name, e) },
			FailureThreshold: failureThreshold,
			FailureDecay:     failureHalfLife,
			FailureBackoff:   failureBackoff,
			Timeout:          DefaultStopWithin,
		})
		sup.Add(failing{name, svc})
		if err := sup.Serve(ctx); ctx.Err() == nil {
			return fmt.Errorf("supervisor of service %s: %w", name, err)
		}
		report, err := sup.UnstoppedServiceReport()
		if err != nil {
			return fmt.Errorf("supervisor of service %s: %w", name, err)
		}
		if len(report) > 0 {
			return fmt.Errorf("cannot stop service %s: still running after %v", name, DefaultStopWithin)
		}
		return nil
	})
}

// failing makes every return before the end of ctx an ordinary failure. It
// hides the chain of the error from suture, which reads orders out of it
// ("do not restart", "end the tree") that no service of ours may give by
// accident.
type failing struct {
	name string
	svc  Service
}

func (f failing) Serve(ctx context.Context) error {
	err := f.svc.Serve(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return ErrEnded
	default:
		return errors.New(err.Error())
	}
}

func (f failing) String() string { return f.name }

func logEvent(log *slog.Logger, name string, e suture.Event) {
	switch e := e.(type) {
	case suture.EventServicePanic:
		log.Error("Service panicked", "service", name, "panic", e.PanicMsg, "stack", e.Stacktrace)
	case suture.EventServiceTerminate:
		log.Warn("Service failed and is started again", "service", name, "error", e.Err)
	case suture.EventBackoff:
		log.Warn("Service fails too often and waits", "service", name, "wait", failureBackoff)
	case suture.EventStopTimeout:
		log.Error("Service does not stop", "service", name, "after", DefaultStopWithin)
	}
}
