// Package event tells when something occurs that the agent is configured to act
// on, and which event configuration then counts.
//
// A source such as [Timer] puts an [Occurrence] into a channel. What must not be
// lost, the machine's start and sync completed, does not pass through it: the
// agent selects and begins it in the transaction that notes it.
//
// The channel has one owner, the agent's event loop: it makes
// it, is the only one that receives, and never closes it. It has no buffer, so a
// source goes on when the loop has made the occurrence durable. Of occurrences
// that wait for the same event configuration the loop keeps one: a timer that is
// due three times during a long installation occurs once after it.
//
// For each occurrence the loop asks [Select] for the one configuration that
// counts in the present state, and gets the reasons why the others do not, for
// the info page and `host why`.
//
// Events are at least once: a source remembers an occurrence after the owner
// took it, through the small interface that its caller hands in.
package event

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// Occurrence is something that happened. With a Type it is for the events of
// that type, with a Name for that event; with a Name alone it was fired by hand,
// which any event can be.
type Occurrence struct {
	Type conf.EventType
	Name string
	Time time.Time // when it happened
}

func (o Occurrence) String() string {
	switch {
	case o.Type == "" && o.Name == "":
		return "nothing"
	case o.Type == "":
		return o.Name + " by hand"
	case o.Name == "" || o.Name == string(o.Type):
		return string(o.Type)
	}
	return o.Name + " (" + string(o.Type) + ")"
}

// Occurrences is the channel from the sources to its owner; make it without a
// buffer.
type Occurrences chan Occurrence

// Fire hands an occurrence to the owner and waits until it takes it or ctx
// ends. A missing time is now. The error's code is unavailable.
func (c Occurrences) Fire(ctx context.Context, o Occurrence) error {
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	select {
	case c <- o:
		return nil
	case <-ctx.Done():
		return fleet.Errorf(fleet.Unavailable, "cannot fire event %s: the agent is busy with another one: %w", o, ctx.Err())
	}
}
