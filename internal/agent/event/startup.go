package event

import (
	"context"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// Boots remembers the machine's start that was acted on last.
type Boots interface {
	// LastBoot is "" if there was none.
	LastBoot(ctx context.Context) (string, error)
	SetLastBoot(ctx context.Context, bootID string) error
}

// Startup is the source of the daemon startup event: once for each start of the
// machine, not of the agent, which restarts for updates and after crashes.
type Startup struct {
	BootID string // changes with every start of the machine; "": every start of the agent counts
	Boots  Boots
	Out    Occurrences
}

// Serve works until ctx ends, or until what must be remembered cannot be.
func (s *Startup) Serve(ctx context.Context) error {
	last, err := s.Boots.LastBoot(ctx)
	if err != nil {
		return fmt.Errorf("cannot find which start of the machine was acted on last: %w", err)
	}
	if s.BootID == "" || s.BootID != last {
		info := map[string]string{"boot_id": s.BootID}
		if s.Out.Fire(ctx, Occurrence{Type: conf.DaemonStartup, Info: info}) != nil {
			return ctx.Err()
		}
		if err := s.Boots.SetLastBoot(ctx, s.BootID); err != nil && ctx.Err() == nil {
			return fmt.Errorf("cannot remember that the machine's start was acted on: %w", err)
		}
	}
	<-ctx.Done()
	return ctx.Err()
}
