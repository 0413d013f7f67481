package slowline

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
)

var (
	errReset = errors.New("connection was reset by the sender")
	errCut   = errors.New("line was cut")
)

// crossing is one direction of one connection.
type crossing struct {
	way      *way
	from, to net.Conn
	flight   *flight
	// grant allows up to n bytes to be delivered; last says that the line is
	// to be cut after them. Nil allows everything.
	grant func(n int) (allowed int, last bool)
	cut   func() // called after the last granted byte

	taken, delivered atomic.Int64
}

// read takes bytes from the sender onto the line until the sender ends.
func (c *crossing) read(ctx context.Context) error {
	buf := make([]byte, c.way.line.segment())
	for {
		n, readErr := c.from.Read(buf)
		c.taken.Add(int64(n))
		if n > 0 {
			if err := c.enter(ctx, segment{data: slices.Clone(buf[:n])}); err != nil {
				return err
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			return c.enter(ctx, segment{end: closed})
		default:
			return c.enter(ctx, segment{end: broken})
		}
	}
}

func (c *crossing) enter(ctx context.Context, s segment) (err error) {
	if err := c.flight.wait(ctx, len(s.data)); err != nil {
		return err
	}
	if s.arrival, err = c.way.send(ctx, len(s.data)); err != nil {
		return err
	}
	c.flight.put(s)
	return nil
}

// deliver hands what arrives to the receiver until the sender's end arrives.
func (c *crossing) deliver(ctx context.Context) error {
	for {
		s, err := c.flight.take(ctx)
		if err != nil {
			return err
		}
		if err := sleepUntil(ctx, s.arrival); err != nil {
			return err
		}
		switch s.end {
		case closed:
			return closeWrite(c.to)
		case broken:
			return errReset
		}
		if err := c.hand(s.data); err != nil {
			return err
		}
		c.flight.landed(len(s.data))
	}
}

func (c *crossing) hand(data []byte) error {
	allowed, last := len(data), false
	if c.grant != nil {
		allowed, last = c.grant(len(data))
	}
	// Counted first, so that a receiver never holds bytes that Counts lacks.
	c.count(allowed)
	n, err := c.to.Write(data[:allowed])
	c.count(n - allowed)
	if last {
		settle(c.to)
		c.cut()
	}
	if err == nil && (last || allowed < len(data)) {
		return errCut
	}
	return err
}

func (c *crossing) count(n int) {
	c.delivered.Add(int64(n))
	c.way.delivered.Add(int64(n))
}

// account books what was taken and never delivered, once both goroutines ended.
func (c *crossing) account() {
	c.way.lost.Add(c.taken.Load() - c.delivered.Load())
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// drop closes with a reset, so that neither peer mistakes it for an orderly end.
func drop(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}
