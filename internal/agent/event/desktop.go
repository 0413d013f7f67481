package event

import (
	"context"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/sessions"
)

// Desktop is the source of the event that the user interface has started: one occurs
// when there is a graphical session, somebody's or the one in which a display manager
// asks who it is. One that is there at the beginning has started, too; whether that
// was known already is the owner's matter. Where nothing tells of sessions it never
// occurs.
type Desktop struct {
	Run string // the folder /run
	Out Occurrences
}

// Serve works until ctx ends; when the event has occurred it only waits for that.
func (d *Desktop) Serve(ctx context.Context) error {
	if !d.here() {
		came := make(chan struct{}, 1)
		inner, cancel := context.WithCancel(ctx)
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			sessions.Watch(inner, d.Run, func() {
				select {
				case came <- struct{}{}:
				default:
				}
			})
		}()
		defer func() { cancel(); <-watching }()
		for !d.here() { // again, now that changes are heard
			select {
			case <-came:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		cancel()
	}
	if d.Out.Fire(ctx, Occurrence{Type: conf.GUIStartup}) == nil {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (d *Desktop) here() bool {
	list, err := sessions.List(d.Run)
	return err == nil && slices.ContainsFunc(list, sessions.Session.Desktop)
}
