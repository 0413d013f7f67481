package secureexec

import (
	"fmt"
	"io"
)

// Clip is a writer that passes the beginning of a stream on at once, keeps its
// end back, and leaves the middle out: a program that fills its output fills
// neither memory nor disk, and what matters most (how it began, why it ended)
// stays. It is not safe for concurrent use.
type Clip struct {
	w        io.Writer
	head     int    // bytes that still go straight through
	tail     []byte // ring of the newest bytes
	limit    int    // size of the ring
	next     int    // where the ring's next byte goes, once it is full
	received int64  // bytes that came after the head
	err      error  // the first of the writer below
}

// NewClip returns a Clip that passes at most limit bytes to w, half of them
// from the end of the stream, and the line that says how many were left out.
// The caller closes it to get the end.
func NewClip(w io.Writer, limit int) *Clip {
	return &Clip{w: w, head: limit - limit/2, limit: limit / 2}
}

// Write fails only if the writer below does.
func (c *Clip) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n := len(p)
	if c.head > 0 {
		now := p[:min(c.head, len(p))]
		m, err := c.w.Write(now)
		if err != nil {
			c.err = err
			return m, err
		}
		c.head -= len(now)
		p = p[len(now):]
	}
	c.received += int64(len(p))
	if c.limit == 0 {
		return n, nil
	}
	if room := c.limit - len(c.tail); room > 0 {
		k := min(room, len(p))
		c.tail = append(c.tail, p[:k]...)
		p = p[k:]
	}
	if len(p) > c.limit {
		p = p[len(p)-c.limit:]
	}
	for len(p) > 0 {
		k := copy(c.tail[c.next:], p)
		c.next = (c.next + k) % c.limit
		p = p[k:]
	}
	return n, nil
}

// LeftOut is the number of bytes that did not and will not reach the writer.
func (c *Clip) LeftOut() int64 { return c.received - int64(len(c.tail)) }

// Close passes on the marker, if bytes were left out, and the end of the
// stream; it repeats an earlier error of Write. It does not close the writer
// below.
func (c *Clip) Close() error {
	if c.err != nil {
		return c.err
	}
	if left := c.LeftOut(); left > 0 {
		if _, err := fmt.Fprintf(c.w, "\n[%d bytes left out]\n", left); err != nil {
			return err
		}
	}
	if len(c.tail) == 0 {
		return nil
	}
	if _, err := c.w.Write(c.tail[c.next:]); err != nil {
		return err
	}
	_, err := c.w.Write(c.tail[:c.next])
	return err
}
