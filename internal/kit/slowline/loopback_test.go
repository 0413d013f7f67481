package slowline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve puts a line before a TCP server made of one handler.
func serve(t *testing.T, line Line, handle func(net.Conn)) *Proxy {
	t.Helper()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := target.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	p := start(t, line, target.Addr().String())
	t.Cleanup(func() { target.Close(); p.Cut(); wg.Wait() })
	return p
}

func start(t *testing.T, line Line, target string) *Proxy {
	t.Helper()
	p, err := Listen(line, "127.0.0.1:0", target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return p
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func pour(n int) func(net.Conn) {
	return func(c net.Conn) { c.Write(make([]byte, n)) }
}

func echo(c net.Conn) { io.Copy(c, c) }

// Two connections over real sockets for a second of 20 Mbit/s. A machine busy
// with other work may be late, so that only the best of three runs must be
// fast enough; none may be too fast.
func TestLoopback_CarriesItsRate(t *testing.T) {
	const rate, conns = 2_500_000, 2
	p := serve(t, Line{Rate: rate, RTT: 40 * time.Millisecond}, pour(rate/conns))
	for try := 1; ; try++ {
		p.Reset()
		var wg sync.WaitGroup
		begin := time.Now()
		for range conns {
			c := dial(t, p)
			wg.Go(func() {
				if n, err := io.Copy(io.Discard, c); n != rate/conns || err != nil {
					t.Errorf("got %d bytes: %v", n, err)
				}
			})
		}
		wg.Wait()
		// The server's first byte enters the line after one and a half round
		// trips and the last byte needs half of one to arrive.
		took := time.Since(begin) - 80*time.Millisecond
		reached := float64(rate) / took.Seconds() / rate
		t.Logf("%.2f %% of the rate", 100*reached)
		if _, down := p.Counts(); down != rate {
			t.Errorf("counted %d bytes, want %d", down, rate)
		}
		if reached > 1.005 {
			t.Fatalf("carried %.2f %% of the rate", 100*reached)
		}
		if reached >= 0.97 {
			return
		}
		if try == 3 {
			t.Fatalf("carried %.2f %% of the rate at best", 100*reached)
		}
	}
}

func TestLoopback_RoundTrip(t *testing.T) {
	const rtt = 40 * time.Millisecond
	p := serve(t, Line{Rate: 2_500_000, RTT: rtt}, echo)
	c := dial(t, p)
	best := time.Hour
	for range 8 {
		begin := time.Now()
		c.Write([]byte("?"))
		io.ReadFull(c, make([]byte, 1))
		took := time.Since(begin)
		if took < rtt-time.Millisecond {
			t.Fatalf("round trip of %v is shorter than the line's %v", took, rtt)
		}
		best = min(best, took)
	}
	if best > rtt+5*time.Millisecond {
		t.Errorf("round trip of %v at best, want %v", best, rtt)
	}
}

func TestLoopback_BytesAndHalfClosePass(t *testing.T) {
	p := serve(t, Line{Rate: 50_000_000, RTT: 2 * time.Millisecond}, func(c net.Conn) {
		all, _ := io.ReadAll(c) // until the client closes its direction
		c.Write(all)
	})
	data := make([]byte, 300_001)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	c := dial(t, p)
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes back (%v), want the %d sent", len(got), err, len(data))
	}
	if up, down := p.Counts(); up != int64(len(data)) || down != up {
		t.Errorf("Counts = %d, %d, want %d each", up, down, len(data))
	}
}

func TestLoopback_CutAfterIsExact(t *testing.T) {
	p := serve(t, Line{Rate: 20_000_000, RTT: 2 * time.Millisecond}, pour(5_000_000))
	for _, n := range []int64{1, 77_777, 1_000_000} {
		p.Reset()
		p.CutAfter(n)
		got, err := io.Copy(io.Discard, dial(t, p))
		if got != n || err == nil {
			t.Errorf("CutAfter(%d): got %d bytes and %v, want as many and a reset", n, got, err)
		}
		if _, down := p.Counts(); down != n {
			t.Errorf("CutAfter(%d) counted %d", n, down)
		}
	}
	if got, err := io.Copy(io.Discard, dial(t, p)); got != 5_000_000 || err != nil {
		t.Errorf("after the cuts: got %d bytes: %v", got, err)
	}
}

func TestLoopback_CutResetsBothSides(t *testing.T) {
	ended := make(chan error, 2)
	p := serve(t, Line{Rate: 1_000_000, RTT: 10 * time.Millisecond}, func(c net.Conn) {
		c.Write([]byte("hello"))
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	for range 2 {
		io.ReadFull(dial(t, p), make([]byte, 5))
	}
	p.Cut()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("server took the cut for an orderly end")
		}
	}
}

func TestLoopback_ResetTravels(t *testing.T) {
	ended := make(chan error, 1)
	p := serve(t, Line{Rate: 1_000_000, RTT: 10 * time.Millisecond}, func(c net.Conn) {
		_, err := io.Copy(c, c)
		ended <- err
	})
	c := dial(t, p)
	c.Write([]byte("x"))
	io.ReadFull(c, make([]byte, 1))
	drop(c)
	if err := <-ended; err == nil {
		t.Error("server took the client's reset for an orderly end")
	}
}

func TestLoopback_TargetDown_ClosesAfterOneRoundTrip(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	p := start(t, Line{Rate: 1_000_000, RTT: 10 * time.Millisecond}, ln.Addr().String())
	begin := time.Now()
	c := dial(t, p)
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read = %v, want a reset", err)
	}
	if took := time.Since(begin); took < 9*time.Millisecond || took > 2*time.Second {
		t.Errorf("refused after %v", took)
	}
}

func TestListen_RefusesWhatIsNoLine(t *testing.T) {
	for _, l := range []Line{{}, {Rate: -1}, {Rate: 1, RTT: -1}, {Rate: 1, Queue: -1}} {
		if p, err := Listen(l, "127.0.0.1:0", "127.0.0.1:1"); err == nil {
			p.listener.Close()
			t.Errorf("Listen(%+v) succeeded", l)
		}
	}
}
