// Package slowline is an emulated slow line between TCP programs on one
// machine. Tests and benchmarks put it between a client and a server that
// think they talk directly; it needs neither root nor a kernel module.
//
// # What it emulates
//
// A Line has one rate and one delay in each direction, shared by all the
// connections of its Proxy, as the machines of a branch office share theirs.
// What a connection reads is cut into short segments. Each segment waits its
// turn (first come, first served, so that busy connections get equal shares),
// takes length/Rate to be sent, and reaches the other side half a round trip
// later. Before the bottleneck stands one queue a direction; when it is full
// the proxy stops reading, which the sender sees as TCP back-pressure.
//
// Times are absolute: a segment starts when its predecessor ended and not when
// a timer happened to fire, so timers that fire late cost no capacity. They do
// move single deliveries by about a millisecond.
//
// # What it does not emulate
//
//   - The rate counts TCP payload (TLS records included, as they are payload to
//     TCP); IP and TCP headers and acknowledgements are free.
//   - No loss, no reordering, no slow start: a sender fills the line at once.
//   - A local connect succeeds at once, because the kernel accepts it before
//     the proxy is asked. The proxy makes up for it by holding the connection:
//     the client's first bytes enter the line one round trip after the accept,
//     when a SYN-ACK would have been back, and a server that speaks first is
//     heard as late as if its accept had waited for the handshake's last step.
//     A program that measures only its connect call sees no delay.
//   - Bytes in the kernel's buffers beside the line (the sender's send buffer,
//     64 KiB of receive buffer in the proxy) have not entered it.
//   - A cut is a reset. On a real line both sides hear nothing and find out by
//     their own timeouts.
package slowline

import (
	"errors"
	"fmt"
	"time"
)

// DefaultQueue is the Queue of a Line that names none.
const DefaultQueue = 256 << 10

// Line describes a line. Both directions are alike and independent.
type Line struct {
	// Rate is the capacity of each direction in bytes of TCP payload a second:
	// 2_500_000 for 20 Mbit/s. It must be positive.
	Rate int64
	// RTT is the round trip without queueing; each direction delays by half.
	RTT time.Duration
	// Queue is how many bytes wait at the bottleneck of each direction before
	// the senders are held back; Queue/Rate is the most that a queue adds to
	// the delay. 0 means DefaultQueue; less than four segments is raised to
	// four, because a shorter queue runs dry between two timers.
	Queue int
}

func (l Line) check() error {
	switch {
	case l.Rate <= 0:
		return fmt.Errorf("rate of %d bytes a second is not positive", l.Rate)
	case l.RTT < 0:
		return fmt.Errorf("round trip of %v is negative", l.RTT)
	case l.Queue < 0:
		return errors.New("queue length is negative")
	}
	return nil
}

// delay is the time from the end of sending to arrival.
func (l Line) delay() time.Duration { return l.RTT / 2 }

// segment is the largest piece sent at once: 5 ms of the line, so that a small
// message never waits long behind one piece of somebody else's bulk, within
// bounds that keep the cost of a piece small.
func (l Line) segment() int {
	return int(min(max(l.Rate/200, 1<<10), 16<<10))
}

// queue is the depth of the bottleneck's queue in bytes.
func (l Line) queue() int {
	if l.Queue == 0 {
		return max(DefaultQueue, 4*l.segment())
	}
	return max(l.Queue, 4*l.segment())
}

// window is how many bytes one connection may have taken from its sender and
// not yet handed to its receiver. It covers the queue and all that is under
// way, so it binds only when the receiver stops reading.
func (l Line) window() int {
	flying := l.delay().Seconds() * float64(l.Rate)
	return l.queue() + int(min(flying, 1<<30)) + 4*l.segment()
}

// took is the time that n bytes occupy the line, rounded up: the rate is never
// exceeded, not even by a rounding error.
func (l Line) took(n int) time.Duration {
	return time.Duration((int64(n)*int64(time.Second) + l.Rate - 1) / l.Rate)
}
