package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// openServer starts the server and the line before it, and logs in.
func (d *demo) openServer(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	d.port = port
	password := rand.Text()
	if err := d.startServer(ctx, "FERNWERK_ADMIN_PASSWORD="+password); err != nil {
		return err
	}
	if _, err := d.do(ctx, d.environment("FERNWERK_PASSWORD="+password),
		d.Admin, "login", "https://"+d.port, "--user", "admin", "--ca", d.path("server", "ca", "ca.pem")); err != nil {
		return err
	}
	line, err := slowline.Listen(slowline.Line{Rate: d.Rate, RTT: d.RTT}, "127.0.0.1:0", d.port)
	if err != nil {
		return err
	}
	d.line = line
	ctx, d.stopLine = context.WithCancel(ctx)
	d.processes.Go(func() { _ = line.Serve(ctx) }) // a failure shows as a server out of reach
	d.tell("server https://%s; the line to it: %s/s each way, shared by all connections, %v round trip", d.port, term.Bytes(d.Rate), d.RTT)
	return nil
}

func (d *demo) startServer(ctx context.Context, env ...string) (err error) {
	d.server, err = d.start(ctx, d.environment(env...), d.program("fernwerkd"), "serve", "--data", d.path("server"), "--listen", d.port)
	return err
}

// freePort is a loopback address that nobody uses at the moment. The server
// comes back at the same one, so it cannot pick it by itself.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// leave ends the server process.
func (d *demo) leave(ctx context.Context) error {
	d.server.end()
	d.server = nil
	if err := d.refused(ctx); err != nil {
		return err
	}
	d.tell("connecting to %s: refused", d.port)
	return nil
}

// refused is an error if anybody answers at the server's port.
func (d *demo) refused(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", d.port)
	if err == nil {
		conn.Close()
		return fmt.Errorf("somebody answers at %s", d.port)
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() || ctx.Err() != nil {
		return fmt.Errorf("the port %s does not refuse: %w", d.port, err)
	}
	return nil
}
