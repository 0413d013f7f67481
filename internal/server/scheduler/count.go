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

// Count is a number for a scrape. One that grows does so until a restart.
type Count struct {
	Name, Help string
	Grows      bool
	Read       func() float64
}

// Counts are what there is to count.
func (s *Schedulers) Counts() []Count {
	read := func(of func(c *counts) float64) func() float64 {
		return func() float64 {
			s.counts.mu.Lock()
			defer s.counts.mu.Unlock()
			return of(&s.counts)
		}
	}
	return []Count{
		{"scheduler_calls_total", "Programs of schedulers that were run.", true, read(func(c *counts) float64 { return float64(c.calls) })},
		{"scheduler_call_failures_total", "Programs of schedulers that failed, or took too long.", true, read(func(c *counts) float64 { return float64(c.failures) })},
		{"scheduler_call_seconds_total", "Time that programs of schedulers took.", true, read(func(c *counts) float64 { return c.took.Seconds() })},
		{"scheduler_waiting", "Nodes that are not in the scheduler as they shall be, of those that this server drives.", false, read(func(c *counts) float64 { return float64(c.waiting) })},
	}
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
