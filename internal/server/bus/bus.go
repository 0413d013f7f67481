// Package bus is the server's end of the message bus: it keeps the connections,
// hands messages on, answers calls, tells what happens to the fleet, and asks
// hosts that are connected.
//
// # A connection
//
// Who connects is logged in as for /rpc, and stays who he is only while his
// stored credential is the one that he came with: it is compared before every
// call and every request to a host, and now and then. An idle connection is one
// goroutine that reads; a second one writes while there is something to write.
// Whoever does not read is sent away with status 1013 when [maxQueue] is
// reached, and whoever sends too much waits for himself only: his reader sleeps,
// so that his line fills up.
//
// # Several servers
//
// Servers on one PostgreSQL are one bus. Who has a host's connection is a row
// ([connections]), good while its server renews its own ([replicas]). A question
// to a host elsewhere is a row too ([parcels]), taken and deleted by the server
// that it is for, and so is the answer. What happens to the fleet each server
// reads in the journal by itself. Wake-ups of the store say when to look.
//
// At a stop everybody is told to come back later, not all at once.
package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits of all connections together, and of one caller's.
const (
	maxConnections = 50_000
	maxOfHost      = 4 // one, and what is left of those that a line broke
	maxOfPerson    = 64
	// largeOnes is how many messages above smallMessage are read and decoded at
	// once; each may need 8 MiB.
	largeOnes    = 32
	smallMessage = 16 << 10
)

// Config is what a bus is made from.
type Config struct {
	Store *store.Store // opened with [Classes]
	Alone bool         // no other server can be on this database: there are no rows
	// Actor says who sends a request, after the login.
	Actor func(*http.Request) (methods.Actor, error)
	// Proof is the digest of an actor's stored credential as it is now, and is
	// NotFound for one that is gone.
	Proof func(context.Context, methods.Actor) ([sha256.Size]byte, error)
	// Ended is the topic that wakes us when somebody's credential has ended; "": it
	// is noticed within a minute, or with the next message.
	Ended string
	// Bound tells whether an actor sees a part of the fleet only.
	Bound func(context.Context, methods.Actor) (bool, error)
	Log   *slog.Logger
	Now   func() time.Time
}

// Bus is a server's bus.
type Bus struct {
	cfg     Config
	backend methods.Backend
	replica string // names this process among those on the database
	session string // channel on which hosts answer us
	large   *semaphore.Weighted
	working sync.WaitGroup // goroutines of connections
	feed    feed
	// dirty wakes the writing of connection rows.
	dirty chan struct{}

	mu        sync.Mutex
	closing   bool
	all       map[*connection]bool
	byChannel map[string][]*connection // newest last
	byActor   map[string][]*connection // by own channel, whatever they listen to; newest last
	changed   map[string]bool          // hosts whose connection row is not as it is
	listeners int                      // subscriptions to events
	asked     map[string]*question     // by rpc_id, id or parcel
	others    bool                     // other servers live on the database
}

// New makes a bus; it answers while Serve runs.
func New(cfg Config) *Bus {
	return &Bus{
		cfg: cfg, replica: uuid.NewString(), session: bus.SessionPrefix + uuid.NewString(),
		large: semaphore.NewWeighted(largeOnes), dirty: make(chan struct{}, 1), feed: feed{at: -1},
		all: map[*connection]bool{}, byChannel: map[string][]*connection{}, byActor: map[string][]*connection{},
		changed: map[string]bool{}, asked: map[string]*question{},
	}
}

// Answer says who answers calls. The answerer may itself ask hosts over the bus,
// which is why it comes after New; without one no call is answered.
func (b *Bus) Answer(backend methods.Backend) { b.backend = backend }

// Serve does what the connections ask for until ctx ends, and sends them away
// then.
func (b *Bus) Serve(ctx context.Context) error {
	parts := []func(context.Context) error{b.tellEvents, b.watchOver}
	if !b.cfg.Alone {
		parts = append(parts, b.keepRows, b.takeParcels)
	}
	g, inner := errgroup.WithContext(ctx)
	for _, part := range parts {
		g.Go(func() error { return part(inner) })
	}
	err := g.Wait()
	b.sendAway()
	if !b.cfg.Alone {
		b.leaveRows()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// ServeHTTP takes a new connection.
func (b *Bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	actor, err := b.cfg.Actor(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	compression := r.URL.Query().Get("compression")
	if compression != "" && compression != "lz4" && compression != "gzip" {
		http.Error(w, "compression is lz4 or gzip", http.StatusBadRequest)
		return
	}
	proof, err := b.cfg.Proof(r.Context(), actor)
	if err != nil {
		http.Error(w, "cannot check who you are", http.StatusServiceUnavailable)
		return
	}
	c := &connection{bus: b, actor: actor, proof: proof, compression: compression, own: bus.OwnChannel(actor),
		session: bus.SessionPrefix + uuid.NewString(), calls: make(chan struct{}, maxCalls)}
	c.channels = []string{c.own, c.session}
	c.heard.Store(b.cfg.Now().Unix())
	c.life, c.end = context.WithCancel(context.Background())
	if !b.room() {
		w.Header().Set("Retry-After", strconv.Itoa(int(later().Seconds())))
		http.Error(w, "the bus takes nobody now", http.StatusServiceUnavailable)
		return
	}
	c.ws, err = websocket.Accept(w, r, &websocket.AcceptOptions{OnPingReceived: c.sign, OnPongReceived: func(ctx context.Context, p []byte) { c.sign(ctx, p) }})
	if err != nil {
		b.working.Done() // see room
		c.end()
		b.cfg.Log.Debug("Bus refused", "address", actor.Address, "error", err)
		return // it has answered
	}
	c.ws.SetReadLimit(bus.MaxMessage)
	if !b.join(c) {
		b.working.Done()
		c.end()
		c.ws.CloseNow()
		return
	}
	// The request and its buffers go; only what the connection needs stays.
	go func() {
		defer b.working.Done()
		c.read()
	}()
	c.send(bus.New(bus.SubscriptionEvent, c.session, map[string]any{"subscribed_channels": texts(c.channels)}, b.cfg.Now()))
}

// room says whether there is room for one more, and books its goroutine.
func (b *Bus) room() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing || len(b.all) >= maxConnections {
		return false
	}
	b.working.Add(1)
	return true
}

// thin sends the oldest of one caller's too many connections away. Those that go
// already do not count: a caller may take his time to leave. The lock is held.
func (b *Bus) thin(own []*connection) {
	live := slices.DeleteFunc(slices.Clone(own), (*connection).isGone)
	most := maxOfPerson
	if own[0].actor.Role == methods.Host {
		most = maxOfHost
	}
	for _, old := range live[:max(0, len(live)-most)] {
		old.stop()
		b.working.Go(func() { old.drop(websocket.StatusPolicyViolation, "you connected too often") })
	}
}

// join makes a connection known. It refuses while the bus closes.
func (b *Bus) join(c *connection) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.all[c] = true
	for _, ch := range c.channels {
		b.byChannel[ch] = append(b.byChannel[ch], c)
	}
	b.byActor[c.own] = append(b.byActor[c.own], c)
	if len(b.byActor[c.own]) == 1 {
		b.presence(c, "connected")
	}
	b.thin(b.byActor[c.own])
	return true
}

// leave forgets a connection.
func (b *Bus) leave(c *connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.all[c] {
		return
	}
	delete(b.all, c)
	b.unsubscribe(c, c.channels)
	b.byActor[c.own] = slices.DeleteFunc(slices.Clone(b.byActor[c.own]), func(o *connection) bool { return o == c })
	if len(b.byActor[c.own]) == 0 {
		delete(b.byActor, c.own)
		b.presence(c, "disconnected")
	}
	for _, q := range b.asked {
		if q.of == c {
			q.fail(fleet.Errorf(fleet.Unavailable, "the connection to %s broke", c.actor.ID))
		}
	}
}

// presence notes that somebody came or went. The lock is held.
func (b *Bus) presence(c *connection, what string) {
	kind := "user"
	object := map[string]any{"id": c.actor.ID, "username": c.actor.ID}
	if c.isHost() {
		kind, object = "host", map[string]any{"type": "OpsiClient", "id": c.actor.ID}
		if !b.cfg.Alone {
			b.changed[c.actor.ID] = true
			wake(b.dirty)
		}
	}
	if b.closing {
		return
	}
	name := kind + "_" + what
	body := map[string]any{"event": name, "data": map[string]any{"client_address": c.actor.Address, "worker": b.session, kind: object}}
	m := bus.New(bus.Event, bus.EventPrefix+name, body, b.cfg.Now())
	b.publish(m)
	if b.others {
		b.working.Go(func() { b.post(everybody, m) })
	}
}

// Open counts the connections that this server holds.
func (b *Bus) Open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}

// connected is a host's newest connection to this server; nil if it has none.
func (b *Bus) connected(host string) *connection {
	b.mu.Lock()
	defer b.mu.Unlock()
	if own := b.byChannel[bus.HostPrefix+host]; len(own) > 0 {
		return own[len(own)-1]
	}
	return nil
}

// later is when those who are sent away may come back: spread, so that they do
// not come together.
func later() time.Duration { return 5*time.Second + rand.N(25*time.Second) }

// sendAway ends all connections.
func (b *Bus) sendAway() {
	b.mu.Lock()
	b.closing = true
	for c := range b.all {
		b.working.Go(func() { c.drop(websocket.StatusTryAgainLater, bus.CloseReason(later())) })
	}
	for _, q := range b.asked {
		q.fail(fleet.Errorf(fleet.Unavailable, "the server stops"))
	}
	b.mu.Unlock()
	b.working.Wait()
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
