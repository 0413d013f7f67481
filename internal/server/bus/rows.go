package bus

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// replicaRow is a server on this database. It renews its row; one that did not
// is dead, and so are its connections.
type replicaRow struct {
	ID    string `col:"id,ident"`
	Until int64  `col:"until"` // unix seconds
}

// connectionRow says which server has the connection of a host.
type connectionRow struct {
	HostID  string `col:"hostId,ident,owner=host.id"`
	Replica string `col:"replica"`
	Since   string `col:"since,time,stamp=create"`
}

// parcel is a message from one server to another.
type parcel struct {
	ID    string `col:"id,ident"`
	To    string `col:"recipient"`
	From  string `col:"sender"`
	Ref   string `col:"ref"`   // the parcel that this one answers
	Frame string `col:"frame"` // the message, base64
	Error string `col:"problem"`
	Moved string `col:"moved"` // a host that is connected to the sender now
	Until int64  `col:"until"` // unix seconds
}

var (
	replicas    = fleet.LocalClass[replicaRow]("busReplica")
	connections = fleet.LocalClass[connectionRow]("busConnection")
	parcels     = fleet.LocalClass[parcel]("busParcel")
)

// Classes are the bus's own rows, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{replicas, connections, parcels} }

const (
	renewEvery = 10 * time.Second
	leaseTime  = 45 * time.Second // longer than a database that is restarted
	gather     = 200 * time.Millisecond
	rowsAtOnce = 500
	everybody  = "*" // recipient of what all others get
	// Silence of a client: after it a ping, and at last the end.
	silence, silenceEnd = 90 * time.Second, 4 * time.Minute
	// checkEvery is how often credentials are compared of those who only listen.
	checkEvery = time.Minute
)

var origin = store.Origin{Actor: "bus"}

func topic(replica string) string { return "bus " + replica }

// newcomers is the topic of servers that came: the others look at once.
const newcomers = "bus servers"

// appear makes this server known to the others, and renews that. One that the
// others gave up meanwhile notes all its connections again.
func (b *Bus) appear(ctx context.Context) error {
	fresh := false
	err := b.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		now := tx.Now().Unix()
		all, err := store.All[replicaRow](tx, replicas, nil)
		if err != nil {
			return err
		}
		others := false
		for _, r := range all {
			switch {
			case r.ID == b.replica:
			case r.Until < now:
				if err := forget(tx, r.ID); err != nil {
					return err
				}
			default:
				others = true
			}
		}
		b.mu.Lock()
		b.others = others
		b.mu.Unlock()
		if others { // what nobody took in time
			late, err := store.All[parcel](tx, parcels, nil)
			if err != nil {
				return err
			}
			for _, p := range late {
				if p.Until < now {
					if err := tx.RemoveKey(parcels, parcels.Key(parcels.Encode(p))); err != nil {
						return err
					}
				}
			}
		}
		if fresh = !slices.ContainsFunc(all, func(r replicaRow) bool { return r.ID == b.replica }); fresh {
			tx.Wake(newcomers)
		}
		return tx.Put(replicas, replicas.Encode(replicaRow{ID: b.replica, Until: now + int64(leaseTime/time.Second)}))
	})
	if err == nil && fresh {
		b.mu.Lock()
		defer b.mu.Unlock()
		for c := range b.all {
			if c.isHost() {
				b.changed[c.actor.ID] = true
			}
		}
		wake(b.dirty)
	}
	return err
}

// forget takes a dead server's rows away.
func forget(tx *store.Tx, replica string) error {
	for class, column := range map[*fleet.Class]string{connections: "replica", parcels: "recipient"} {
		if _, err := tx.Delete(class, fleet.Filter{column: replica}); err != nil {
			return err
		}
	}
	return tx.Remove(replicas, fleet.Row{"id": replica})
}

// leaveRows ends this server's rows; what fails lapses.
func (b *Bus) leaveRows() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := b.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error { return forget(tx, b.replica) }); err != nil {
		b.cfg.Log.Warn("Bus rows stay until they lapse", "error", err)
	}
}

// keepRows writes who is connected here, gathered, and renews this server's row.
func (b *Bus) keepRows(ctx context.Context) error {
	came, stop := b.cfg.Store.Watch(newcomers)
	defer stop()
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	appear := func() {
		if err := b.appear(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Log.Warn("Bus is not known to other servers", "error", err)
		}
	}
	appear()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-renew.C:
			appear()
		case <-came:
			appear()
		case <-b.dirty:
			if !pause(ctx, gather) {
				return ctx.Err()
			}
			if err := b.writeConnections(ctx); err != nil && ctx.Err() == nil {
				b.cfg.Log.Warn("Connections are not noted yet", "error", err)
				if !pause(ctx, time.Second) {
					return ctx.Err()
				}
				wake(b.dirty)
			}
		}
	}
}

func (b *Bus) writeConnections(ctx context.Context) error {
	for {
		here := map[string]bool{} // whether a changed host is connected here
		b.mu.Lock()
		for host := range b.changed {
			if len(here) == rowsAtOnce {
				break
			}
			here[host] = len(b.byActor[bus.HostPrefix+host]) > 0
			delete(b.changed, host)
		}
		b.mu.Unlock()
		if len(here) == 0 {
			return nil
		}
		err := b.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
			for _, host := range slices.Sorted(maps.Keys(here)) {
				if err := b.writeConnection(tx, host, here[host]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.mu.Lock()
			for host := range here {
				b.changed[host] = true
			}
			b.mu.Unlock()
			return err
		}
	}
}

func (b *Bus) writeConnection(tx *store.Tx, host string, here bool) error {
	row := connections.Encode(connectionRow{HostID: host, Replica: b.replica})
	if here {
		known, err := tx.ByKey(fleet.Hosts, fleet.Hosts.Key(fleet.Row{"id": host}))
		if err != nil || known == nil { // deleted meanwhile
			return err
		}
		old, err := tx.ByKey(connections, connections.Key(row))
		if err == nil && old != nil && old.Str("replica") != b.replica {
			err = b.shipIn(tx, parcel{ID: uuid.NewString(), To: old.Str("replica"), Moved: host})
		}
		if err != nil {
			return err
		}
		return tx.Put(connections, row)
	}
	old, err := tx.ByKey(connections, connections.Key(row))
	if err != nil || old.Str("replica") != b.replica { // another server has it by now
		return err
	}
	return tx.RemoveKey(connections, connections.Key(row))
}

// elsewhere tells found which of the hosts are connected to another server.
func (b *Bus) elsewhere(ctx context.Context, hosts []string, found func(host, replica string)) error {
	b.mu.Lock()
	others := b.others
	b.mu.Unlock()
	if !others || len(hosts) == 0 {
		return nil
	}
	return b.cfg.Store.View(ctx, func(tx *store.Tx) error {
		alive := map[string]bool{}
		all, err := store.All[replicaRow](tx, replicas, nil)
		if err != nil {
			return err
		}
		for _, r := range all {
			alive[r.ID] = r.ID != b.replica && r.Until >= tx.Now().Unix()
		}
		for part := range slices.Chunk(hosts, rowsAtOnce) {
			rows, err := store.All[connectionRow](tx, connections, fleet.Filter{"hostId": part})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if alive[r.Replica] {
					found(r.HostID, r.Replica)
				}
			}
		}
		return nil
	})
}

// askElsewhere asks a host by the server that has its connection.
func (b *Bus) askElsewhere(ctx context.Context, host string, m bus.Message) (bus.Message, error) {
	at := ""
	if err := b.elsewhere(ctx, []string{host}, func(_, replica string) { at = replica }); err != nil {
		return bus.Message{}, err
	}
	if at == "" {
		return bus.Message{}, bus.ErrNotConnected
	}
	p := parcel{ID: uuid.NewString(), To: at}
	return b.wait(ctx, p.ID, &question{answer: make(chan reply, 1)}, func() error { return b.ship(ctx, p, m) })
}

// post sends a message to another server, or to everybody else. What fails is
// logged: the message is good for a minute only.
func (b *Bus) post(to string, m bus.Message) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	if err := b.ship(ctx, parcel{ID: uuid.NewString(), To: to}, m); err != nil {
		b.cfg.Log.Warn("Message does not reach the other servers", "type", m.Type, "error", err)
	}
}

// ship writes a parcel, one for each recipient.
func (b *Bus) ship(ctx context.Context, p parcel, m bus.Message) error {
	if m.Type != "" {
		frame, err := bus.Encode(m, "")
		if err != nil {
			return err
		}
		p.Frame = base64.StdEncoding.EncodeToString(frame)
	}
	return b.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error { return b.shipIn(tx, p) })
}

func (b *Bus) shipIn(tx *store.Tx, p parcel) error {
	p.From, p.Until = b.replica, tx.Now().Add(bus.Validity).Unix()
	to := []string{p.To}
	if p.To == everybody {
		all, err := store.All[replicaRow](tx, replicas, nil)
		if err != nil {
			return err
		}
		to = nil
		for _, r := range all {
			if r.ID != b.replica && r.Until >= tx.Now().Unix() {
				to = append(to, r.ID)
			}
		}
	}
	for i, replica := range to {
		if p.To = replica; i > 0 {
			p.ID = uuid.NewString()
		}
		if err := tx.Put(parcels, parcels.Encode(p)); err != nil {
			return err
		}
		tx.Wake(topic(replica))
	}
	return nil
}

// takeParcels takes what other servers send.
func (b *Bus) takeParcels(ctx context.Context) error {
	woken, stop := b.cfg.Store.Watch(topic(b.replica))
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-woken:
		}
		all, err := b.claim(ctx)
		if err != nil && ctx.Err() == nil {
			b.cfg.Log.Warn("Messages of other servers wait", "error", err)
		}
		for _, p := range all {
			b.open(ctx, p)
		}
	}
}

// claim takes the parcels for this server out of the database.
func (b *Bus) claim(ctx context.Context) (all []parcel, err error) {
	err = b.cfg.Store.View(ctx, func(tx *store.Tx) error {
		all, err = store.All[parcel](tx, parcels, fleet.Filter{"recipient": b.replica})
		return err
	})
	if err != nil || len(all) == 0 { // a wake-up for nothing writes nothing
		return nil, err
	}
	err = b.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		if all, err = store.All[parcel](tx, parcels, fleet.Filter{"recipient": b.replica}); err != nil {
			return err
		}
		_, err = tx.Delete(parcels, fleet.Filter{"recipient": b.replica})
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(p parcel) bool { return p.Until < b.cfg.Now().Unix() }), nil
}

// open acts on a parcel.
func (b *Bus) open(ctx context.Context, p parcel) {
	var m bus.Message
	if p.Frame != "" {
		frame, err := base64.StdEncoding.DecodeString(p.Frame)
		if err == nil {
			m, err = bus.Decode(frame, "")
		}
		if err != nil {
			b.cfg.Log.Warn("Message of another server is not readable", "error", err)
			return
		}
	}
	switch {
	case p.Moved != "":
		b.giveUp(ctx, p.Moved)
	case p.Ref != "":
		b.mu.Lock()
		defer b.mu.Unlock()
		if q := b.asked[p.Ref]; q != nil && q.of == nil {
			if p.Error != "" {
				q.fail(fleet.Errorf(fleet.Unavailable, "%s", p.Error))
				return
			}
			q.give(m)
		}
	case m.Type == bus.Event:
		b.deliver(m)
	case m.Type == bus.Request, m.Type == bus.TraceRequest:
		b.working.Go(func() { b.answerFor(ctx, p, m) })
	}
}

// giveUp drops the connections of a host that has a newer one elsewhere: a line
// that broke looks whole from here for minutes.
func (b *Bus) giveUp(ctx context.Context, host string) {
	moved := false
	if err := b.elsewhere(ctx, []string{host}, func(string, string) { moved = true }); err != nil || !moved {
		return // it came back meanwhile
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.all {
		if c.own == bus.HostPrefix+host {
			b.working.Go(func() { c.drop(websocket.StatusPolicyViolation, "you are connected to another server") })
		}
	}
}

// answerFor asks a host that is connected here for another server.
func (b *Bus) answerFor(ctx context.Context, p parcel, m bus.Message) {
	within, cancel := context.WithDeadline(ctx, time.Unix(p.Until, 0))
	defer cancel()
	back := parcel{ID: uuid.NewString(), To: p.From, Ref: p.ID}
	id := m.ID
	if m.Type == bus.Request {
		id = m.Text("rpc_id")
	}
	var answer bus.Message
	err := bus.ErrNotConnected
	if c := b.connected(m.Channel[min(len(bus.HostPrefix), len(m.Channel)):]); c != nil {
		answer, err = b.askHere(within, c, id, m)
	}
	if err != nil {
		back.Error, answer = err.Error(), bus.Message{}
	}
	if err := b.ship(ctx, back, answer); err != nil && ctx.Err() == nil {
		b.cfg.Log.Warn("Answer does not reach the other server", "error", err)
	}
}
