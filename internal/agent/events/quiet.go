package events

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// Quiet tells whether no event of a machine's start asks for the server: a client in
// WAN mode, of which seed A says that it does not connect the server then. What is
// processed from full caches does not ask for it.
func Quiet(events []conf.EventConfig) bool {
	return !slices.ContainsFunc(events, func(e conf.EventConfig) bool {
		return e.Active && (e.Type == conf.DaemonStartup || e.Type == conf.GUIStartup) && !e.UseCachedConfig
	})
}

// startTime is when a start is over in any case: a client whose configuration leads to
// the server by no event must be reachable still.
const startTime = 2 * time.Minute

// door lets everybody through once it is open.
type door struct {
	once sync.Once
	open chan struct{}
}

// Meet says that the server is being met: from now on the machine's start is over.
func (p *Events) Meet() { p.door.once.Do(func() { close(p.door.open) }) }

// Later is a service that connects the server by itself, and waits with that while a
// quiet start lasts: until an event leads to the server, or [startTime] has passed.
func (p *Events) Later(s run.Service) run.Service {
	return run.Func(func(ctx context.Context) error {
		over := time.NewTimer(startTime)
		defer over.Stop()
		select {
		case <-p.door.open:
		case <-over.C:
			p.Meet()
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.Serve(ctx)
	})
}
