package slowline

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// receiveBuffer is asked for on both sockets of a connection, so that the
// kernel does not hide megabytes of queue before the emulated one.
const receiveBuffer = 64 << 10

// Proxy is a line with a listener at its near end and one target at its far
// end. "Up" is towards the target, "down" towards those who connect.
type Proxy struct {
	line     Line
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)
	up, down *way

	mu     sync.Mutex
	newEra func() *era // set by Serve
	era    *era
	quota  int64 // bytes down until the line is cut; unlimited when negative
}

// Listen opens the near end on a TCP address ("127.0.0.1:0" for a free port).
// Connections wait in the kernel until Serve runs.
func Listen(line Line, addr, target string) (*Proxy, error) {
	if err := line.check(); err != nil {
		return nil, fmt.Errorf("cannot open slow line: %w", err)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot open slow line: %w", err)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return newProxy(line, ln, func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", target)
	}), nil
}

func newProxy(line Line, ln net.Listener, dial func(context.Context) (net.Conn, error)) *Proxy {
	return &Proxy{line: line, listener: ln, dial: dial, up: newWay(line), down: newWay(line), quota: unlimited}
}

// Addr is where to connect instead of the target.
func (p *Proxy) Addr() net.Addr { return p.listener.Addr() }

// Serve carries connections until the context ends, which cuts them all. It
// returns nil then, and an error if the listener fails before. It may be called
// once.
func (p *Proxy) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	p.begin(ctx)

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before the wait
	wg.Go(func() {
		<-ctx.Done()
		p.listener.Close()
	})
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("cannot accept on slow line: %w", err)
		}
		e := p.join()
		wg.Go(func() {
			defer e.conns.Done()
			p.carry(e.ctx, conn)
		})
	}
}

// carry brings one connection over the line.
//
// A handshake on a real line: the SYN reaches the target after half a round
// trip, the SYN-ACK (or a refusal) is back after one, the last ACK arrives
// after one and a half. So the client may send, or learns of a refusal, after
// one, and what the server says first starts back after one and a half.
func (p *Proxy) carry(ctx context.Context, client net.Conn) {
	opened := time.Now()
	if sleepUntil(ctx, opened.Add(p.line.RTT)) != nil {
		drop(client)
		return
	}
	server, err := p.dial(ctx)
	if err != nil {
		drop(client)
		return
	}
	for _, c := range []net.Conn{client, server} {
		if t, ok := c.(*net.TCPConn); ok {
			t.SetReadBuffer(receiveBuffer)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up := &crossing{way: p.up, from: client, to: server, flight: newFlight(p.line.window())}
	down := &crossing{way: p.down, from: server, to: client, flight: newFlight(p.line.window()),
		grant: p.grant, cut: func() { p.cut() }}

	var parts sync.WaitGroup
	part := func(f func(context.Context) error) {
		parts.Go(func() {
			if f(ctx) != nil {
				cancel()
			}
		})
	}
	part(up.read)
	part(up.deliver)
	part(func(ctx context.Context) error {
		if err := sleepUntil(ctx, opened.Add(p.line.RTT+p.line.delay())); err != nil {
			return err
		}
		return down.read(ctx)
	})
	part(down.deliver)
	done := make(chan struct{})
	go func() {
		parts.Wait()
		close(done)
	}()

	select {
	case <-done: // both directions ended in order
	case <-ctx.Done():
		drop(client)
		drop(server)
		<-done
	}
	client.Close()
	server.Close()
	up.account()
	down.account()
}
