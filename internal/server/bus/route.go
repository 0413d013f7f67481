package bus

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// handle acts on a message. What it says of its sender is not believed.
func (c *connection) handle(ctx context.Context, m bus.Message) {
	m.Sender, m.Channel = c.own, c.full(m.Channel)
	if m.BackChannel = c.full(m.BackChannel); m.BackChannel == "" {
		m.BackChannel = c.session
	}
	if m.Channel == c.bus.session { // before the rest: whoever was asked may answer
		c.bus.answered(c, m)
		return
	}
	refuse := func(err error) {
		if m.Type != bus.GeneralError { // an error about an error would go back and forth
			c.send(m.Refusal(err, c.bus.cfg.Now()))
		}
	}
	if back := c.kind(m.BackChannel); back != bus.Own && back != bus.OwnSession {
		err := fleet.Errorf(fleet.Denied, "cannot answer to channel %q: it is not yours", m.BackChannel)
		m.BackChannel = c.session
		refuse(err)
		return
	}
	kind := c.kind(m.Channel)
	switch {
	case bus.Executes(m.Type):
		refuse(fleet.Errorf(fleet.NotHere, "cannot take %s: not supported: it would execute commands or move files outside of packages", m.Type))
	case !bus.MaySend(c.actor.Role, kind):
		refuse(fleet.Errorf(fleet.Denied, "cannot send to channel %q: access denied for %s %s", m.Channel, c.actor.Role, c.actor.ID))
	case kind == bus.Own, kind == bus.OwnSession:
		c.bus.deliver(m)
	case m.Type == bus.SubscriptionRequest && m.Channel == bus.ServiceBus:
		if err := c.changeChannels(ctx, m); err != nil {
			c.send(m.Answer(bus.SubscriptionEvent, map[string]any{"subscribed_channels": c.bus.subscribed(c), "error": problem(err)}, c.bus.cfg.Now()))
		}
	case m.Type == bus.TraceRequest && kind == bus.Services:
		c.trace(m)
	case m.Type == bus.Request && m.Channel == bus.ServiceRPC, m.Type == bus.Request && kind == bus.Hosts, m.Type == bus.TraceRequest && kind == bus.Hosts:
		c.start(ctx, m)
	default:
		refuse(fleet.Errorf(fleet.Invalid, "cannot take %s on channel %q", m.Type, m.Channel))
	}
}

// full writes out the short names of channels.
func (c *connection) full(channel string) string {
	switch channel {
	case bus.Self:
		return c.own
	case bus.ThisSession:
		return c.session
	}
	return channel
}

func (c *connection) kind(channel string) bus.Kind {
	return bus.KindOf(c.actor, channel, func(session string) bus.Kind {
		c.bus.mu.Lock()
		defer c.bus.mu.Unlock()
		switch {
		case session == c.session || slices.Contains(c.channels, session):
			return bus.OwnSession
		case len(c.bus.byChannel[session]) > 0 || session == c.bus.session:
			return bus.OtherSession
		}
		return bus.FreeSession
	})
}

// problem is an error as opsi's clients read it in a message.
func problem(err error) map[string]any {
	return map[string]any{"code": int64(0), "message": err.Error(), "details": nil}
}

// changeChannels subscribes: all that is asked for, or nothing.
func (c *connection) changeChannels(ctx context.Context, m bus.Message) error {
	names, err := m.Texts("channels")
	if err != nil {
		return err
	}
	if len(names) > maxChannels {
		return fleet.Errorf(fleet.TooLarge, "cannot subscribe to %d channels: the limit is %d", len(names), maxChannels)
	}
	operation := m.Text("operation")
	for i, name := range names {
		names[i] = c.full(name)
		if operation != "remove" && !bus.MaySubscribe(c.actor.Role, c.kind(names[i])) {
			return fleet.Errorf(fleet.Denied, "Access to channel %q denied", names[i])
		}
	}
	if slices.ContainsFunc(names, isEvent) {
		// Events are of the whole fleet. Who is bound to groups later has another
		// proof, and loses the connection.
		bound, err := c.bus.cfg.Bound(ctx, c.actor)
		if err != nil {
			return err
		}
		if bound && operation != "remove" {
			return fleet.Errorf(fleet.Denied, "Access to events denied: %s %s is bound to host groups", c.actor.Role, c.actor.ID)
		}
		// The journal is read from before the answer on. Held until we are among the
		// listeners: else the telling ends for want of any.
		c.bus.feed.mu.Lock()
		defer c.bus.feed.mu.Unlock()
		if err := c.bus.begin(ctx); err != nil {
			return err
		}
	}
	b := c.bus
	b.mu.Lock()
	switch {
	case !b.all[c]: // it left meanwhile
	case operation == "remove":
		b.unsubscribe(c, names)
	case operation == "add" && len(c.channels)+len(names) > maxChannels:
		err = fleet.Errorf(fleet.TooLarge, "cannot subscribe to more than %d channels", maxChannels)
	case operation == "add":
		b.subscribe(c, names)
	case operation == "set", operation == "":
		b.unsubscribe(c, slices.DeleteFunc(slices.Clone(c.channels), func(ch string) bool { return slices.Contains(names, ch) }))
		b.subscribe(c, names)
	default:
		err = fleet.Errorf(fleet.Invalid, "Invalid operation %q", operation)
	}
	b.mu.Unlock()
	if err == nil {
		c.send(m.Answer(bus.SubscriptionEvent, map[string]any{"subscribed_channels": b.subscribed(c)}, b.cfg.Now()))
	}
	return err
}

func isEvent(channel string) bool { return strings.HasPrefix(channel, bus.EventPrefix) }

// trace answers with the times at which the message was here.
func (c *connection) trace(m bus.Message) {
	now := c.bus.cfg.Now().UnixMilli()
	c.send(m.Answer(bus.TraceResponse, map[string]any{"req_trace": m.Body["trace"], "payload": m.Body["payload"],
		"trace": map[string]any{"broker_ws_receive": now, "broker_ws_send": now}}, c.bus.cfg.Now()))
}

// deliver hands a message to those who listen on its channel.
func (b *Bus) deliver(m bus.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.publish(m)
}

// publish is deliver with the lock held. A frame is made once for all who want
// it packed alike.
func (b *Bus) publish(m bus.Message) {
	frames := map[string][]byte{}
	for _, c := range b.byChannel[m.Channel] {
		frame, ok := frames[c.compression]
		if !ok {
			var err error
			if frame, err = bus.Encode(m, c.compression); err != nil {
				b.cfg.Log.Warn("Message is not sent", "type", m.Type, "channel", m.Channel, "error", err)
				return
			}
			frames[c.compression] = frame
		}
		c.push(frame)
	}
}

// start answers what may take long beside the reader. Of too many at once the
// next one waits, and with it everything else that this client sends.
func (c *connection) start(ctx context.Context, m bus.Message) {
	select {
	case c.calls <- struct{}{}:
	case <-ctx.Done():
		return
	}
	c.bus.working.Go(func() {
		defer func() { <-c.calls }()
		good, err := c.stillGood(ctx)
		switch {
		case err != nil:
			c.send(m.Refusal(fleet.Errorf(fleet.Unavailable, "cannot check who you are: %w", err), c.bus.cfg.Now()))
		case !good:
			c.drop(websocket.StatusPolicyViolation, "your credential is no longer the one that you came with")
		case m.Type == bus.TraceRequest:
			c.traceHost(ctx, m)
		default:
			c.call(ctx, m)
		}
	})
}

// call answers a call, of the server's methods or of a host's.
func (c *connection) call(ctx context.Context, m bus.Message) {
	actor := c.actor
	actor.Request = strings.ToLower(rand.Text()[:12])
	result, err := c.result(ctx, actor, m)
	if ctx.Err() != nil {
		return // nobody listens any more
	}
	if fleet.CodeOf(err) == fleet.Internal && err != nil {
		c.bus.cfg.Log.Error("call failed", "method", m.Text("method"), "actor", actor.ID, "request", actor.Request, "error", err)
		err = fmt.Errorf("internal error (request %s)", actor.Request)
	}
	body := map[string]any{"rpc_id": m.Text("rpc_id"), "result": result}
	if err != nil {
		body = map[string]any{"rpc_id": m.Text("rpc_id"), "error": rpc.Fault(err, actor.Role == methods.Administrator)}
	}
	answer := m.Answer(bus.Response, body, c.bus.cfg.Now())
	answer.Sender = m.Channel
	frame, err := bus.Encode(answer, c.compression)
	if err != nil {
		err = fleet.WithHint(err, "ask for less, or by /rpc")
		answer.Body = map[string]any{"rpc_id": m.Text("rpc_id"), "error": rpc.Fault(err, false)}
		c.send(answer)
		return
	}
	c.push(frame)
}

func (c *connection) result(ctx context.Context, actor methods.Actor, m bus.Message) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.bus.cfg.Log.Error("method panicked", "method", m.Text("method"), "actor", actor.ID, "panic", p, "stack", string(debug.Stack()))
			result, err = nil, fmt.Errorf("%s panicked", m.Text("method"))
		}
	}()
	method := m.Text("method")
	var params methods.Params
	switch p := m.Body["params"].(type) {
	case nil:
	case []any:
		params.Positional = p
	case map[string]any:
		params.Named = p
	default:
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: params is neither list nor dictionary", method)
	}
	host, isHost := strings.CutPrefix(m.Channel, bus.HostPrefix)
	if !isHost {
		return c.bus.backend.Call(ctx, actor, method, params)
	}
	if len(params.Named) > 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s of %s: parameters are given by position", method, host)
	}
	all, err := rpc.As[map[string]any](c.bus.backend.Call(ctx, actor, "hostControl_opsiclientdRpc",
		methods.Pos(method, params.Positional, []any{host})))
	if err != nil {
		return nil, err
	}
	one, _ := all[host].(map[string]any)
	if text, failed := one["error"].(string); failed {
		return nil, fleet.Errorf(fleet.Unavailable, "%s", text)
	}
	return one["result"], nil
}
