package openvpn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Conn is a connection to openvpn's management socket.
type Conn struct {
	conn  net.Conn
	read  *bufio.Reader
	early []string // lines that Greet met

	mu      sync.Mutex
	waiting []*command // in the order in which they were written
	err     error
}

// command is one that waits for its answer.
type command struct {
	many  bool // lines up to END, not one
	lines []string
	err   error
	done  chan struct{}
}

// Dial connects, and waits for openvpn's greeting: without it somebody else is its
// management client.
func Dial(ctx context.Context, socket string) (*Conn, error) {
	fail := func(err error) (*Conn, error) { return nil, fmt.Errorf("cannot reach openvpn at %s: %w", socket, err) }
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fail(err)
	}
	c := &Conn{conn: nc, read: bufio.NewReaderSize(nc, maxLine+2)}
	by := time.Now().Add(GreetWithin)
	if given, ok := ctx.Deadline(); ok && given.Before(by) {
		by = given
	}
	err = nc.SetReadDeadline(by)
	var line string
	if err == nil {
		line, err = c.line()
	}
	if err == nil && !strings.HasPrefix(line, ">INFO:OpenVPN Management Interface") {
		err = fmt.Errorf("its greeting is %.100q", line)
	}
	if err == nil {
		err = nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return fail(err)
	}
	return c, nil
}

// past ends a wait at once.
var past = time.Unix(1, 0)

// next is the next line: first those that came early.
func (c *Conn) next() (string, error) {
	if len(c.early) > 0 {
		line := c.early[0]
		c.early = c.early[1:]
		return line, nil
	}
	return c.line()
}

// line reads a line, without its end.
func (c *Conn) line() (string, error) {
	text, err := c.read.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// Serve reads until the connection or ctx ends, and gives events to on, which
// returns at once: it sends no command and waits for nobody. The error says why the
// connection ended; nil means that ctx did.
func (c *Conn) Serve(ctx context.Context, on func(Event)) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	err := c.serve(on)
	c.fail(err)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("cannot go on with openvpn: %w", err)
}

func (c *Conn) serve(on func(Event)) error {
	var p Parser
	for {
		line, err := c.next()
		if err != nil {
			return err
		}
		e, answer, err := p.Line(line)
		switch {
		case err != nil:
			return err
		case answer:
			if err := c.answer(line); err != nil {
				return err
			}
		case e != nil:
			on(*e)
		}
	}
}

// answer gives a line to the command that waits the longest.
func (c *Conn) answer(line string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return fmt.Errorf("nobody asked for %.100q", line)
	}
	w := c.waiting[0]
	switch {
	case strings.HasPrefix(line, "ERROR: ") && len(w.lines) == 0:
		w.err = errors.New(strings.TrimPrefix(line, "ERROR: "))
	case w.many && line != "END":
		if len(w.lines) >= maxReply {
			return errors.New("an answer is too long")
		}
		w.lines = append(w.lines, line)
		return nil
	case !w.many && !strings.HasPrefix(line, "SUCCESS: "):
		return fmt.Errorf("%.100q is no answer", line)
	case !w.many:
		w.lines = []string{strings.TrimPrefix(line, "SUCCESS: ")}
	}
	c.waiting = c.waiting[1:]
	close(w.done)
	return nil
}

// fail ends the connection for all who wait.
func (c *Conn) fail(err error) {
	c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	for _, w := range c.waiting {
		w.err = c.err
		close(w.done)
	}
	c.waiting = nil
}

// Close ends the connection. openvpn goes on.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	return nil
}

// ask sends the lines of one command and waits for its answer.
func (c *Conn) ask(ctx context.Context, many bool, lines ...string) ([]string, error) {
	w := &command{many: many, done: make(chan struct{})}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	// openvpn reads while it writes, so that this holds nobody up for long; a
	// connection that does is broken.
	err := c.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if err == nil {
		_, err = io.WriteString(c.conn, strings.Join(lines, "\n")+"\n")
	}
	if err == nil {
		c.waiting = append(c.waiting, w)
	}
	c.mu.Unlock()
	if err != nil {
		c.fail(err) // half a command may have been written
		return nil, fmt.Errorf("%w: %w", ErrClosed, err)
	}
	select {
	case <-w.done:
		return w.lines, w.err
	case <-ctx.Done():
		return nil, ctx.Err() // its answer is read all the same
	}
}
