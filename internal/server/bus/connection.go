package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits of one connection.
const (
	maxQueue    = 256     // messages that wait to be read
	maxQueued   = 4 << 20 // and their bytes
	maxCalls    = 4       // under way at once; the next one waits, and so does what comes after it
	maxChannels = 64
	maxFaults   = 20 // messages that cannot be read, until it is closed
	// Of what a connection sends: a burst, then so much a second.
	burst   = 200
	perSend = 20 * time.Millisecond
	// sendTime is for one message to be taken, largeTime for one to arrive.
	sendTime  = 30 * time.Second
	largeTime = time.Minute
	closeTime = 2 * time.Second
)

// connection is one client of the bus.
type connection struct {
	bus         *Bus
	ws          *websocket.Conn
	actor       methods.Actor
	proof       [sha256.Size]byte // of the credential that it came with
	compression string
	own         string // channel
	session     string // channel
	channels    []string
	calls       chan struct{}
	life        context.Context // ends with the connection, and ends it
	end         context.CancelFunc
	heard       atomic.Int64 // unix seconds of the last sign of life

	mu      sync.Mutex
	queue   [][]byte
	queued  int  // bytes
	writing bool // a goroutine empties the queue
	gone    bool
}

func (c *connection) isHost() bool {
	return c.actor.Role == methods.Host || c.actor.Role == methods.Depot
}

// sign notes a sign of life; a ping is answered.
func (c *connection) sign(context.Context, []byte) bool {
	c.heard.Store(c.bus.cfg.Now().Unix())
	return true
}

// stillGood tells whether the stored credential is the one it came with.
func (c *connection) stillGood(ctx context.Context) (bool, error) {
	now, err := c.bus.cfg.Proof(ctx, c.actor)
	if fleet.CodeOf(err) == fleet.NotFound {
		return false, nil
	}
	return subtle.ConstantTimeCompare(now[:], c.proof[:]) == 1, err
}

// read handles what comes until the connection ends.
func (c *connection) read() {
	ctx := c.life
	defer func() {
		c.end()
		c.bus.leave(c)
		c.stop()
		c.ws.CloseNow()
	}()
	faults := 0
	allowed := time.Now().Add(-burst * perSend) // when the next message would be allowed, were there no burst
	for {
		typ, r, err := c.ws.Reader(ctx)
		if err != nil {
			return
		}
		c.sign(ctx, nil)
		if now := time.Now(); allowed.Before(now.Add(-burst * perSend)) {
			allowed = now.Add(-burst * perSend)
		}
		if allowed = allowed.Add(perSend); !pause(ctx, time.Until(allowed)) {
			return
		}
		if typ != websocket.MessageBinary {
			c.drop(websocket.StatusUnsupportedData, "messages are binary")
			return
		}
		m, err := c.receive(ctx, r)
		if err == nil {
			c.handle(ctx, m)
			continue
		}
		if c.isGone() {
			return
		}
		if faults++; faults > maxFaults {
			c.drop(websocket.StatusPolicyViolation, "too many messages that cannot be read")
			return
		}
		m.Sender, m.BackChannel = c.own, c.session
		c.send(m.Refusal(err, c.bus.cfg.Now()))
	}
}

// receive reads and decodes one message. Few large ones are in memory at once.
func (c *connection) receive(ctx context.Context, r io.Reader) (bus.Message, error) {
	var small bytes.Buffer
	n, err := io.CopyN(&small, r, smallMessage)
	if n == smallMessage && err == nil {
		within, cancel := context.WithTimeout(ctx, largeTime)
		defer cancel()
		if err := c.bus.large.Acquire(within, 1); err != nil {
			c.drop(websocket.StatusTryAgainLater, bus.CloseReason(later()))
			return bus.Message{}, err
		}
		defer c.bus.large.Release(1)
		end := time.AfterFunc(largeTime, func() { c.drop(websocket.StatusPolicyViolation, "the message took too long") })
		defer end.Stop()
		_, err = io.Copy(&small, r)
	} else if err == io.EOF {
		err = nil
	}
	if err != nil {
		c.stop()
		return bus.Message{}, err
	}
	return bus.Decode(small.Bytes(), c.compression)
}

// pause waits, unless the connection ends meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send queues a message for the connection.
func (c *connection) send(m bus.Message) {
	data, err := bus.Encode(m, c.compression)
	if err != nil {
		c.bus.cfg.Log.Warn("Message is not sent", "type", m.Type, "actor", c.actor.ID, "error", err)
		return
	}
	c.push(data)
}

// push queues a frame. Whoever has not read for so long is sent away.
func (c *connection) push(frame []byte) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	if len(c.queue) >= maxQueue || c.queued+len(frame) > maxQueued {
		c.mu.Unlock()
		c.bus.cfg.Log.Info("Bus connection does not read", "actor", c.actor.ID, "address", c.actor.Address)
		c.bus.working.Go(func() { c.drop(websocket.StatusTryAgainLater, bus.CloseReason(later())) })
		return
	}
	c.queue, c.queued = append(c.queue, frame), c.queued+len(frame)
	start := !c.writing
	c.writing = true
	c.mu.Unlock()
	if start {
		c.bus.working.Go(c.write)
	}
}

// write empties the queue and ends.
func (c *connection) write() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 || c.gone {
			c.writing, c.queue = false, nil
			c.mu.Unlock()
			return
		}
		frame := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(c.life, sendTime)
		err := c.ws.Write(ctx, websocket.MessageBinary, frame)
		cancel()
		c.mu.Lock()
		c.queued -= len(frame)
		c.mu.Unlock()
		if err != nil {
			c.stop()
			c.ws.CloseNow() // the reader notices
		}
	}
}

// stop keeps further messages out.
func (c *connection) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone, c.queue = true, nil
}

func (c *connection) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// drop says why and closes, within closeTime: the library would wait longer for
// the other side's goodbye.
func (c *connection) drop(status websocket.StatusCode, reason string) {
	c.stop()
	end := time.AfterFunc(closeTime, c.end)
	defer end.Stop()
	c.ws.Close(status, reason)
}

// subscribed is a copy of the channels; the bus's lock is held or the caller
// does not mind.
func (b *Bus) subscribed(c *connection) []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	return texts(c.channels)
}

// subscribe adds channels. The lock is held.
func (b *Bus) subscribe(c *connection, channels []string) {
	for _, ch := range channels {
		if slices.Contains(c.channels, ch) {
			continue
		}
		c.channels = append(c.channels, ch)
		b.byChannel[ch] = append(b.byChannel[ch], c)
		if isEvent(ch) {
			b.listeners++
		}
	}
}

// unsubscribe takes channels away. The lock is held.
func (b *Bus) unsubscribe(c *connection, channels []string) {
	for _, ch := range slices.Clone(channels) {
		i := slices.Index(c.channels, ch)
		if i < 0 {
			continue
		}
		c.channels = slices.Delete(c.channels, i, i+1)
		if isEvent(ch) {
			b.listeners--
		}
		rest := slices.DeleteFunc(slices.Clone(b.byChannel[ch]), func(o *connection) bool { return o == c })
		if b.byChannel[ch] = rest; len(rest) == 0 {
			delete(b.byChannel, ch)
		}
	}
}
