package simulate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errGone ends a load whose server is not there any more.
var errGone = errors.New("server went away")

// warm connects all hosts, then has them check in again and again.
func (c *crowd) warm(ctx context.Context) error {
	c.Say("connecting %d hosts", c.Hosts)
	begin := time.Now()
	var connects tally
	if err := c.each(ctx, c.AtOnce, &connects); err != nil {
		return err
	}
	c.report.Connect = connects.figures(time.Since(begin))
	if failed := connects.failed(); failed > 0 {
		c.report.Errors = connects.errors
		return connects.err(c.Hosts)
	}
	c.Say("all are connected after %.1f seconds; load for %v", c.report.Connect.Seconds, c.Duration)
	c.report.Server.begin(c.PID)
	c.report.Client.begin(self())
	begin = time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	if c.Rate > 0 {
		c.paced(ctx)
	} else {
		c.driven(ctx)
	}
	c.finish(time.Since(begin))
	return nil
}

// herd has all hosts connect at once. A host that is put off comes back when it
// was told to.
func (c *crowd) herd(ctx context.Context) error {
	c.Say("%d hosts connect at once", c.Hosts)
	c.report.Server.begin(c.PID)
	c.report.Client.begin(self())
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range c.hosts {
		wg.Go(func() {
			for {
				err := h.checkIn(ctx)
				busy, ok := errors.AsType[*busyError](err)
				if !ok {
					c.tally.add(time.Since(begin), err)
					return
				}
				c.tally.putOff.Add(1)
				select {
				case <-time.After(busy.wait):
				case <-ctx.Done():
					c.tally.add(time.Since(begin), ctx.Err())
					return
				}
			}
		})
	}
	wg.Wait()
	c.finish(time.Since(begin))
	if c.tally.failed() > 0 {
		return c.tally.err(c.Hosts)
	}
	return nil
}

func (c *crowd) finish(took time.Duration) {
	c.report.Server.end(took)
	c.report.Client.end(took)
	c.report.Figures = c.tally.figures(took)
	c.report.Errors = c.tally.errors
	c.report.Gone = c.tally.gone.Load()
}

// each has every host check in once, some at a time.
func (c *crowd) each(ctx context.Context, atOnce int, t *tally) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, c.Hosts) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(c.hosts) {
					return
				}
				start := time.Now()
				t.add(time.Since(start), c.hosts[i].checkIn(ctx))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// driven has the next host check in whenever one was answered.
func (c *crowd) driven(ctx context.Context) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(c.AtOnce, c.Hosts) {
		wg.Go(func() {
			for ctx.Err() == nil && !c.tally.gone.Load() {
				h := c.hosts[int(next.Add(1)-1)%len(c.hosts)]
				start := time.Now()
				err := h.checkIn(context.WithoutCancel(ctx)) // what is under way is waited for
				c.tally.add(time.Since(start), err)
			}
		})
	}
	wg.Wait()
}

// paced has the hosts check in, one after the other, when they are due.
func (c *crowd) paced(ctx context.Context) {
	begin := time.Now()
	gap := time.Duration(float64(time.Second) / c.Rate)
	var wg sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ctx.Err() == nil && !c.tally.gone.Load(); n++ {
		due := begin.Add(time.Duration(n) * gap)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				continue
			}
		}
		h := c.hosts[n%len(c.hosts)]
		wg.Go(func() {
			err := h.checkIn(context.WithoutCancel(ctx))
			c.tally.add(time.Since(due), err)
		})
	}
	wg.Wait()
}

// gone tells whether an error says that nobody is there.
func gone(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
