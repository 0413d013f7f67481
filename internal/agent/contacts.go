package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity/contact"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// checksIn makes the part that checks in with the server.
func (a *Agent) checksIn(remote *rpc.Client) *contact.Service {
	return contact.New(contact.Config{
		DataDir: a.cfg.DataDir, Transport: remote.Transport(), UserAgent: "fernwerk-agent/" + a.cfg.Version, Machine: platform.Machine, Log: a.cfg.Log, Now: time.Now, Documents: a.trust,
		Interval: func(ctx context.Context) (every time.Duration, err error) {
			s, err := a.now(ctx)
			if err != nil {
				return 0, err
			}
			return time.Duration(s.Int("config_service", "contact_interval")) * time.Second, nil
		},
	})
}

// recently is how old a contact may be that a synchronisation begins with.
const recently = time.Minute

// known makes a contact before a synchronisation. That another machine uses this
// identity, or that it was revoked, ends it; a server out of reach is what it
// finds out by itself.
func (a *Agent) known(ctx context.Context) error {
	a.Meet()
	err := a.contacts.Recent(ctx, recently)
	switch fleet.CodeOf(err) {
	case fleet.Conflict, fleet.Denied:
		if next := fleet.HintOf(err); next != "" {
			return fmt.Errorf("%w; %s", err, next) // a task's text is all that is seen of it later
		}
		return err
	}
	if err != nil {
		a.cfg.Log.Warn("No contact before the synchronisation", "error", err)
	}
	return nil
}
