package productcache

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// stall is how long a depot may take for the next piece of a tree's index.
const stall = 2 * time.Minute

// tree asks the depot for the tree's index. That it answers at all is for the
// HTTP client to watch.
func (c *Cache) tree(ctx context.Context, from Depot, product string, have *chunkindex.Index) (*chunkindex.Index, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &watched{timer: time.AfterFunc(c.stall, func() {
		cancel(fleet.Errorf(fleet.Unavailable, "the depot has stalled: it sent nothing for %v", c.stall))
	}), patience: c.stall}
	defer w.timer.Stop()
	index, err := from.Tree(ctx, product, have, func(r io.Reader) io.Reader {
		w.Reader = c.limit.Reader(ctx, r)
		return w
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("cannot fetch the tree of %q: %w", product, cause)
	}
	return index, err
}

// watched winds a timer up with everything that comes.
type watched struct {
	io.Reader
	timer    *time.Timer
	patience time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.timer.Reset(w.patience)
	}
	return n, err
}
