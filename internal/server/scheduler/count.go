package scheduler

import (
	"context"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// counts are what a scrape shows.
type counts struct {
	mu       sync.Mutex
	calls    int64
	failures int64
	took     time.Duration
	waiting  int
}

// Counted are the calls of programs since the start, those that failed, the time
// that they took together, and the nodes that are not as they shall be.
func (s *Schedulers) Counted() (calls, failures int64, took time.Duration, waiting int) {
	c := &s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls, c.failures, c.took, c.waiting
}

func (c *counts) call(_ string, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.took += took
	if err != nil {
		c.failures++
	}
}

func (c *counts) wait(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting += n
}

// counted is a driver whose queue is counted: what differed when it was last
// compared, less what was done since.
type counted struct {
	Driver
	counts  *counts
	waiting map[string]bool
}

func (d *counted) Read(ctx context.Context) (map[string]node.State, error) {
	is, err := d.Driver.Read(ctx)
	if err == nil {
		d.counts.wait(-len(d.waiting))
		clear(d.waiting)
	}
	return is, err
}

func (d *counted) Differs(want node.Node, is node.State, found bool) string {
	why := d.Driver.Differs(want, is, found)
	if (why != "") != d.waiting[want.Name] {
		d.set(want.Name, why != "")
	}
	return why
}

func (d *counted) Apply(ctx context.Context, c node.Change) error {
	err := d.Driver.Apply(ctx, c)
	if err == nil && d.waiting[c.Node.Name] {
		d.set(c.Node.Name, false)
	}
	return err
}

func (d *counted) set(name string, waits bool) {
	if waits {
		d.waiting[name] = true
		d.counts.wait(1)
		return
	}
	delete(d.waiting, name)
	d.counts.wait(-1)
}
