package slowline

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// office is a proxy inside a synctest bubble: memory pipes, a fake clock.
type office struct {
	*Proxy
	calls chan net.Conn // to the listener
	hosts chan net.Conn // from the dialler
}

// pipes is a net.Listener of memory connections.
type pipes struct {
	calls chan net.Conn
	stop  chan struct{}
	once  sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.stop:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.once.Do(func() { close(l.stop) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// open serves a line until the test's function returns.
func open(t *testing.T, line Line) *office {
	t.Helper()
	if err := line.check(); err != nil {
		t.Fatal(err)
	}
	o := &office{calls: make(chan net.Conn), hosts: make(chan net.Conn, 10)}
	o.Proxy = newProxy(line, &pipes{calls: o.calls, stop: make(chan struct{})},
		func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			o.hosts <- far
			return near, nil
		})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- o.Serve(ctx) }()
	synctest.Wait()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return o
}

// connect returns both ends; the target's is there after the handshake.
func (o *office) connect() (client, server net.Conn) {
	near, far := net.Pipe()
	o.calls <- far
	return near, <-o.hosts
}

type arrival struct {
	at time.Time
	n  int
}

// record reads until want bytes have come.
func record(t *testing.T, c net.Conn, want int) (list []arrival) {
	buf := make([]byte, 64<<10)
	for want > 0 {
		n, err := c.Read(buf)
		if err != nil {
			t.Errorf("%d bytes short: %v", want, err)
			return list
		}
		list = append(list, arrival{time.Now(), n})
		want -= n
	}
	return list
}

func TestRate_HoldsForAllConnectionsTogether(t *testing.T) {
	for name, conns := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := Line{Rate: 2_500_000, RTT: 40 * time.Millisecond}
				o := open(t, line)
				const each = 1_200_000
				lists := make([][]arrival, conns)
				begun := make([]time.Time, conns)
				var wg sync.WaitGroup
				for i := range conns {
					client, server := o.connect()
					defer client.Close()
					defer server.Close()
					wg.Go(func() {
						begun[i] = time.Now()
						if _, err := client.Write(make([]byte, each)); err != nil {
							t.Error(err)
						}
					})
					wg.Go(func() { lists[i] = record(t, server, each) })
				}
				wg.Wait()

				all := merge(lists)
				if err := within(all, line); err != nil {
					t.Error(err)
				}
				// Connections after the first join 40 ms later each; the line is
				// never idle meanwhile.
				took := all[len(all)-1].at.Sub(begun[0])
				want := line.took(each*conns) + line.delay()
				if late := took - want; late < 0 || late > time.Millisecond {
					t.Errorf("took %v, want %v", took, want)
				}
				if up, down := o.Counts(); up != int64(each*conns) || down != 0 {
					t.Errorf("Counts = %d, %d, want %d, 0", up, down, each*conns)
				}
			})
		})
	}
}

// The check itself must be able to fail.
func TestWithin_FindsTooMuch(t *testing.T) {
	now := time.Now()
	line := Line{Rate: 1_000_000}
	list := []arrival{{now, 5000}, {now.Add(5 * time.Millisecond), 5000}, {now.Add(9 * time.Millisecond), 5000}}
	if within(list[:2], line) != nil {
		t.Error("a full line was refused")
	}
	if within(list, line) == nil {
		t.Error("10,000 bytes in 9 ms passed for 1 MB/s")
	}
}

// within reports whether no window between two arrivals carries more than the
// rate. The first arrival of a window was sent before it.
func within(list []arrival, line Line) error {
	for i := range list {
		sum := 0
		for _, a := range list[i+1:] {
			sum += a.n
			if a.at.Sub(list[i].at) < line.took(sum) {
				return errors.New("the line carried more than its rate")
			}
		}
	}
	return nil
}

func merge(lists [][]arrival) (all []arrival) {
	for {
		next := -1
		for i, l := range lists {
			if len(l) > 0 && (next < 0 || l[0].at.Before(lists[next][0].at)) {
				next = i
			}
		}
		if next < 0 {
			return all
		}
		all = append(all, lists[next][0])
		lists[next] = lists[next][1:]
	}
}

func TestBusyConnections_ShareEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := Line{Rate: 1_000_000, RTT: 20 * time.Millisecond}
		o := open(t, line)
		var got [2]atomic.Int64
		var wg sync.WaitGroup
		var conns []net.Conn
		for range got {
			client, server := o.connect()
			conns = append(conns, client, server)
		}
		for i := range got {
			wg.Go(func() { conns[2*i].Write(make([]byte, 10_000_000)) })
			wg.Go(func() {
				buf := make([]byte, line.segment())
				for {
					n, err := conns[2*i+1].Read(buf)
					if err != nil {
						return
					}
					got[i].Add(int64(n))
				}
			})
		}
		// Whoever comes first fills the queue alone; count after that.
		time.Sleep(time.Second)
		synctest.Wait()
		early := [2]int64{got[0].Load(), got[1].Load()}
		time.Sleep(3 * time.Second)
		o.Cut()
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
		a, b := got[0].Load()-early[0], got[1].Load()-early[1]
		if diff := max(a-b, b-a); diff > int64(2*line.segment()) || a+b < 2_980_000 {
			t.Errorf("shares are %d and %d bytes", a, b)
		}
	})
}

func TestHandshakeAndRoundTrip_CostWhatTheyCostOnALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt = 40 * time.Millisecond
		o := open(t, Line{Rate: 1_000_000_000, RTT: rtt})
		near, far := net.Pipe()
		defer near.Close()
		start := time.Now()
		o.calls <- far
		go near.Write([]byte("q"))
		server := <-o.hosts
		defer server.Close()

		since := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(start).Truncate(time.Millisecond); got != want {
				t.Errorf("%s after %v, want %v", what, got, want)
			}
		}
		record(t, server, 1)
		since("first byte at the server", rtt+rtt/2)
		server.Write([]byte("a"))
		record(t, near, 1)
		since("first answer", 2*rtt)
		near.Write([]byte("q"))
		record(t, server, 1)
		server.Write([]byte("a"))
		record(t, near, 1)
		since("second answer", 3*rtt)
	})
}

func TestServerThatSpeaksFirst_IsHeardAfterTwoRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt = 40 * time.Millisecond
		o := open(t, Line{Rate: 1_000_000_000, RTT: rtt})
		near, far := net.Pipe()
		defer near.Close()
		start := time.Now()
		o.calls <- far
		server := <-o.hosts
		defer server.Close()
		server.Write([]byte("220"))
		record(t, near, 3)
		if got := time.Since(start).Truncate(time.Millisecond); got != 2*rtt {
			t.Errorf("heard after %v, want %v", got, 2*rtt)
		}
	})
}

func TestFullQueue_HoldsTheSenderBackAndDelaysOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := Line{Rate: 1_000_000, Queue: 100_000}
		o := open(t, line)
		bulk, sink := o.connect()
		defer bulk.Close()
		defer sink.Close()
		ask, host := o.connect()
		defer ask.Close()
		defer host.Close()
		go io.Copy(io.Discard, sink)

		start := time.Now()
		bulk.Write(make([]byte, line.Queue/2))
		if got := time.Since(start); got != 0 {
			t.Errorf("half a queue was taken after %v, want at once", got)
		}
		bulk.Write(make([]byte, 400_000))
		if got := time.Since(start); got < 330*time.Millisecond || got > 350*time.Millisecond {
			t.Errorf("450,000 bytes were taken after %v, want the queue's 100 ms less than 450 ms", got)
		}
		start = time.Now()
		ask.Write([]byte("?"))
		record(t, host, 1)
		if got := time.Since(start); got < 95*time.Millisecond || got > 106*time.Millisecond {
			t.Errorf("a byte behind a full queue took %v, want about 100ms", got)
		}
	})
}

func TestReceiverThatStops_StopsItsSenderOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := Line{Rate: 1_000_000, RTT: 20 * time.Millisecond}
		o := open(t, line)
		bulk, deaf := o.connect()
		ask, host := o.connect()
		go bulk.Write(make([]byte, 10_000_000))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		start := time.Now()
		ask.Write([]byte("?"))
		record(t, host, 1)
		if got := time.Since(start); got > 12*time.Millisecond {
			t.Errorf("the other connection took %v", got)
		}
		o.Cut()
		if up, _ := o.Lost(); up == 0 || up > int64(line.window()+line.segment()) {
			t.Errorf("lost %d bytes, want at most the window of %d", up, line.window())
		}
		for _, c := range []net.Conn{bulk, deaf, ask, host} {
			c.Close()
		}
	})
}

func TestCut_EmptiesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, Line{Rate: 100_000, Queue: 100_000})
		bulk, sink := o.connect()
		go io.Copy(io.Discard, sink)
		go bulk.Write(make([]byte, 1_000_000))
		time.Sleep(time.Second)
		o.Cut()
		up, _ := o.Reset()
		if up < 95_000 || up > 100_000 {
			t.Errorf("%d bytes in the first second of 100,000", up)
		}
		ask, host := o.connect()
		start := time.Now()
		ask.Write([]byte("?"))
		record(t, host, 1)
		if got := time.Since(start); got > time.Millisecond {
			t.Errorf("a byte after the cut took %v", got)
		}
		if up, _ := o.Counts(); up != 1 {
			t.Errorf("counted %d bytes since Reset, want 1", up)
		}
		for _, c := range []net.Conn{bulk, sink, ask, host} {
			c.Close()
		}
	})
}
