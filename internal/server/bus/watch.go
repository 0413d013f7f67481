package bus

import (
	"context"
	"time"

	"github.com/coder/websocket"
)

// watchOver looks at all connections now and then: who is silent is pinged and
// at last given up, and whose credential changed is sent away.
func (b *Bus) watchOver(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var ended <-chan struct{}
	if b.cfg.Ended != "" {
		wake, stop := b.cfg.Store.Watch(b.cfg.Ended)
		defer stop()
		ended = wake
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			b.look(ctx)
		case <-ended: // whoever is meant is gone before he hears anything more
			b.look(ctx)
		}
	}
}

func (b *Bus) look(ctx context.Context) {
	b.mu.Lock()
	all := make([]*connection, 0, len(b.all))
	for c := range b.all {
		all = append(all, c)
	}
	b.mu.Unlock()
	now := b.cfg.Now()
	for _, c := range all {
		if ctx.Err() != nil {
			return
		}
		quiet := now.Sub(time.Unix(c.heard.Load(), 0))
		good, err := c.stillGood(ctx)
		switch {
		case err == nil && !good:
			b.working.Go(func() {
				c.drop(websocket.StatusPolicyViolation, "your credential is no longer the one that you came with")
			})
		case quiet > silenceEnd:
			c.stop()
			c.ws.CloseNow()
		case quiet > silence:
			b.working.Go(func() {
				within, cancel := context.WithTimeout(ctx, sendTime)
				defer cancel()
				c.ws.Ping(within) // what comes back is noted; no answer ends the connection
			})
		}
	}
}
