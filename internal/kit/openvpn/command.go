package openvpn

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// number is the one command whose argument is a client.
func number(v uint64) string { return strconv.FormatUint(v, 10) }

func (c *Conn) one(ctx context.Context, what string, lines ...string) error {
	if _, err := c.ask(ctx, false, lines...); err != nil {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}

// Accept lets a client in, with what it gets.
func (c *Conn) Accept(ctx context.Context, cid, kid uint64, p Push) error {
	lines, err := p.Lines()
	if err != nil {
		return err
	}
	lines = append([]string{"client-auth " + number(cid) + " " + number(kid)}, lines...)
	return c.one(ctx, "let a client in", append(lines, "END")...)
}

// AcceptAgain lets a client go on that proved itself anew, with what it has.
func (c *Conn) AcceptAgain(ctx context.Context, cid, kid uint64) error {
	return c.one(ctx, "let a client go on", "client-auth-nt "+number(cid)+" "+number(kid))
}

// Deny refuses a client. The reason goes to openvpn's log and, as far as it can be
// told, to the client; what cannot stand there is left out of it.
func (c *Conn) Deny(ctx context.Context, cid, kid uint64, reason string) error {
	reason = Plain(reason)
	return c.one(ctx, "refuse a client", "client-deny "+number(cid)+" "+number(kid)+` "`+reason+`" "`+reason+`"`)
}

// Plain is a text as it may stand in a command: printable ASCII without quotes, and
// short.
func Plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, text)
	if len(text) > 200 {
		text = text[:200]
	}
	return text
}

// Kill ends a client's connection. It may try to come back.
func (c *Conn) Kill(ctx context.Context, cid uint64) error {
	return c.one(ctx, "end a client's connection", "client-kill "+number(cid))
}

// Release lets an openvpn begin that waits with management-hold; from then on it
// does not wait again.
func (c *Conn) Release(ctx context.Context) error {
	if err := c.one(ctx, "let openvpn begin", "hold off"); err != nil {
		return err
	}
	return c.one(ctx, "let openvpn begin", "hold release")
}

// Count has the bytes reported every so many seconds, 0 for never.
func (c *Conn) Count(ctx context.Context, seconds int) error {
	return c.one(ctx, "have bytes counted", "bytecount "+strconv.Itoa(seconds))
}

// Signals that openvpn takes.
const (
	Reload  = "SIGHUP"  // reads its configuration anew
	Restart = "SIGUSR1" // connects anew
	End     = "SIGTERM"
)

// Signal sends one of the signals.
func (c *Conn) Signal(ctx context.Context, signal string) error {
	if signal != Reload && signal != Restart && signal != End {
		return fmt.Errorf("cannot send openvpn the signal %.20q", signal)
	}
	return c.one(ctx, "send openvpn a signal", "signal "+signal)
}

// PID is openvpn's process.
func (c *Conn) PID(ctx context.Context) (int, error) {
	lines, err := c.ask(ctx, false, "pid")
	if err == nil {
		var pid int
		if pid, err = strconv.Atoi(strings.TrimPrefix(lines[0], "pid=")); err == nil && pid > 1 {
			return pid, nil
		}
		err = fmt.Errorf("%.40q is no process", lines[0])
	}
	return 0, fmt.Errorf("cannot ask for openvpn's process: %w", err)
}

// States has states reported as they come, and returns the present one: an
// event's Text.
func (c *Conn) States(ctx context.Context) (string, error) {
	if err := c.one(ctx, "have states reported", "state on"); err != nil {
		return "", err
	}
	lines, err := c.ask(ctx, true, "state")
	if err != nil || len(lines) == 0 {
		return "", err
	}
	return lines[len(lines)-1], nil
}

// Status is what openvpn has of its clients.
func (c *Conn) Status(ctx context.Context) ([]Client, error) {
	lines, err := c.ask(ctx, true, "status 3")
	if err == nil {
		var all []Client
		if all, err = ParseStatus(lines); err == nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("cannot ask for openvpn's clients: %w", err)
}

// Greet asks a fresh connection that nobody reads yet for openvpn's process. What
// openvpn says by itself meanwhile is kept for [Conn.Serve].
func (c *Conn) Greet(ctx context.Context) (int, error) {
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(past) })
	defer stop()
	if _, err := c.conn.Write([]byte("pid\n")); err != nil {
		return 0, fmt.Errorf("cannot ask for openvpn's process: %w", err)
	}
	for {
		line, err := c.line()
		if err != nil {
			return 0, fmt.Errorf("cannot ask for openvpn's process: %w", err)
		}
		if strings.HasPrefix(line, ">") {
			c.early = append(c.early, line)
			if len(c.early) > maxReply {
				return 0, fmt.Errorf("cannot ask for openvpn's process: it says too much")
			}
			continue
		}
		pid, err := strconv.Atoi(strings.TrimPrefix(line, "SUCCESS: pid="))
		if err != nil || pid < 2 {
			return 0, fmt.Errorf("cannot ask for openvpn's process: it says %.100q", line)
		}
		return pid, nil
	}
}
