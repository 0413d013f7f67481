package bus

import (
	"context"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// question waits for its answer.
type question struct {
	of     *connection // that may answer; nil for another server
	answer chan reply  // holds one
}

type reply struct {
	message bus.Message
	err     error
}

func (q *question) give(m bus.Message) {
	select {
	case q.answer <- reply{message: m}:
	default: // a second answer
	}
}

func (q *question) fail(err error) {
	select {
	case q.answer <- reply{err: err}:
	default:
	}
}

// Ask calls a method of a host's control interface over its connection, at
// whichever server that is. The error of a host without a connection is [bus.ErrNotConnected].
func (b *Bus) Ask(ctx context.Context, host, method string, params []any) (any, error) {
	id := uuid.NewString()
	m := bus.New(bus.Request, bus.HostPrefix+host, map[string]any{"api_version": "1", "rpc_id": id, "method": method, "params": params}, b.cfg.Now())
	answer, err := b.question(ctx, host, id, m)
	if err != nil {
		return nil, err
	}
	if e := answer.Body["error"]; e != nil {
		return nil, rpc.ParseFault(e)
	}
	return answer.Body["result"], nil
}

// question asks a host, wherever it is connected.
func (b *Bus) question(ctx context.Context, host, id string, m bus.Message) (bus.Message, error) {
	c := b.connected(host)
	if c == nil {
		return b.askElsewhere(ctx, host, m)
	}
	return b.askHere(ctx, c, id, m)
}

// askHere asks over a connection of this server. id is what the answer names:
// its rpc_id, or the message.
func (b *Bus) askHere(ctx context.Context, c *connection, id string, m bus.Message) (bus.Message, error) {
	good, err := c.stillGood(ctx)
	if err != nil {
		return bus.Message{}, err
	}
	if !good {
		c.drop(websocket.StatusPolicyViolation, "your credential is no longer the one that you came with")
		return bus.Message{}, bus.ErrNotConnected
	}
	m.Sender, m.BackChannel = b.session, b.session
	if end, ok := ctx.Deadline(); ok {
		m.Expires = b.cfg.Now().Add(time.Until(end)).UnixMilli()
	}
	return b.wait(ctx, id, &question{of: c, answer: make(chan reply, 1)}, func() error { c.send(m); return nil })
}

// wait sends and waits for the answer.
func (b *Bus) wait(ctx context.Context, id string, q *question, send func() error) (bus.Message, error) {
	b.mu.Lock()
	if b.closing || q.of != nil && !b.all[q.of] {
		b.mu.Unlock()
		return bus.Message{}, bus.ErrNotConnected
	}
	b.asked[id] = q
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.asked, id)
	}()
	if err := send(); err != nil {
		return bus.Message{}, err
	}
	select {
	case r := <-q.answer:
		return r.message, r.err
	case <-ctx.Done():
		return bus.Message{}, fleet.Errorf(fleet.Unavailable, "no answer in time")
	}
}

// answered takes an answer from a host. Only the one that was asked can give
// it, and only once.
func (b *Bus) answered(c *connection, m bus.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range []string{m.Text("rpc_id"), m.RefID} {
		if q := b.asked[id]; id != "" && q != nil && q.of == c {
			q.give(m)
			return
		}
	}
	b.cfg.Log.Debug("Answer to no question", "actor", c.actor.ID, "type", m.Type)
}

// Connected tells which of the hosts have a connection, at any server.
func (b *Bus) Connected(ctx context.Context, hosts []string) (map[string]bool, error) {
	here := map[string]bool{}
	var rest []string
	for _, h := range hosts {
		if b.connected(h) != nil {
			here[h] = true
		} else {
			rest = append(rest, h)
		}
	}
	return here, b.elsewhere(ctx, rest, func(host, _ string) { here[host] = true })
}

// traceHost sends a trace to a host and its answer back.
func (c *connection) traceHost(ctx context.Context, m bus.Message) {
	b, host := c.bus, m.Channel[len(bus.HostPrefix):]
	// Whoever may call the host's methods may measure the way to it.
	if _, err := b.backend.Call(ctx, c.actor, "hostControl_reachable", methods.Pos([]any{host})); err != nil {
		c.send(m.Refusal(err, b.cfg.Now()))
		return
	}
	now := func() int64 { return b.cfg.Now().UnixMilli() }
	trace, _ := m.Body["trace"].(map[string]any)
	if trace == nil {
		trace = map[string]any{}
	}
	trace["broker_ws_receive"], trace["broker_ws_send"] = now(), now()
	q := bus.New(bus.TraceRequest, m.Channel, map[string]any{"trace": trace, "payload": m.Body["payload"]}, b.cfg.Now())
	within, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	a, err := b.question(within, host, q.ID, q)
	if err != nil {
		c.send(m.Refusal(fleet.Errorf(fleet.CodeOf(err), "cannot reach %s: %w", host, err), b.cfg.Now()))
		return
	}
	answer := m.Answer(bus.TraceResponse, map[string]any{"req_trace": a.Body["req_trace"], "trace": a.Body["trace"], "payload": a.Body["payload"]}, b.cfg.Now())
	answer.Sender = m.Channel
	c.send(answer)
}

// askTime is for a trace, and for a question that another server asks.
const askTime = 15 * time.Second
