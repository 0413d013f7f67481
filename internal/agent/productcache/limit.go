package productcache

import (
	"context"
	"io"
)

// limitReader lays the machine's one rate over a connection.
func (c *Cache) limitReader(ctx context.Context) func(io.Reader) io.Reader {
	if c.limit == nil {
		return nil
	}
	return func(r io.Reader) io.Reader { return c.limit.Reader(ctx, r) }
}
