package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

const (
	// atOnce is how many decisions are made at the same time.
	atOnce = 32
	// decideWithin is how long one may take: the client tries again by itself.
	decideWithin = 20 * time.Second
	// lookEach is how often those who are in are looked at although nobody said that
	// something changed; syncEach how often presence hears all of it; filesEach how
	// often the certificates are looked at.
	lookEach  = 10 * time.Second
	syncEach  = time.Minute
	filesEach = time.Hour
	// firstWait and lastWait bound the time until openvpn is started again.
	firstWait = 250 * time.Millisecond
	lastWait  = 30 * time.Second
)

// Serve keeps the tunnel until ctx ends, in its turn if it has some. openvpn stays.
func (s *Server) Serve(ctx context.Context) error {
	if s.Turns != nil {
		return s.inTurn(ctx)
	}
	return s.keep(ctx)
}

// keep has openvpn run, and answers it.
func (s *Server) keep(ctx context.Context) error {
	wait := firstWait
	for ctx.Err() == nil {
		began := time.Now()
		c, pid, err := s.attach(ctx)
		if err == nil {
			err = s.Attend(ctx, c, pid)
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			wait = firstWait
		}
		s.Log.Warn("Tunnel is tried again", "tunnel", s.Name, "after", wait, "error", err, "hint", fleet.HintOf(err))
		pause(ctx, wait)
		wait = min(2*wait, lastWait)
	}
	return nil
}

// errFiles is why a tunnel starts anew although nothing is wrong.
var errFiles = errors.New("its certificates are other ones")

// Attend answers an openvpn, whose process is pid, until the connection or ctx ends.
func (s *Server) Attend(ctx context.Context, c *openvpn.Conn, pid int) error {
	ctx, stop := context.WithCancel(ctx)
	defer c.Close()
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()

	d := &driver{Server: s, conn: c, pid: pid, slots: make(chan struct{}, atOnce), ended: map[uint64]bool{}, wake: make(chan struct{}, 1), told: make(chan struct{}, 1)}
	s.mu.Lock()
	s.in = map[uint64]*Session{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.attached = false
		s.mu.Unlock()
	}()
	ended := make(chan error, 1)
	all.Go(func() { ended <- c.Serve(ctx, d.queue) })
	all.Go(func() { d.work(ctx) })
	all.Go(func() { d.tell(ctx) })
	if err := d.begin(ctx); err != nil {
		return d.because(err) // it takes the port and the device only now
	}
	if s.fresh {
		s.fresh = false
		s.Log.Info("Tunnel serves", "tunnel", s.Name, "process", pid)
	}
	look, sync, files := time.NewTicker(lookEach), time.NewTicker(syncEach), time.NewTicker(filesEach)
	defer look.Stop()
	defer sync.Stop()
	defer files.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return d.because(err)
		case <-s.Changed:
			err = d.look(ctx)
		case <-look.C:
			s.trimLog()
			err = d.look(ctx)
		case <-sync.C:
			err = d.sync(ctx, false)
		case <-files.C:
			var digest string
			if digest, err = s.prepare(ctx); err == nil && digest != d.digest() {
				return errors.Join(errFiles, end(ctx, c, s.Dir))
			}
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("Tunnel is not looked after", "tunnel", s.Name, "error", err)
		}
	}
}

// driver is a Server while it is connected to an openvpn.
type driver struct {
	*Server
	conn  *openvpn.Conn
	pid   int
	slots chan struct{} // of decisions
	// ended are the clients that went since openvpn was last asked for all; the
	// Server's mutex guards it.
	ended map[uint64]bool

	mu     sync.Mutex
	events []openvpn.Event
	wake   chan struct{}
	news   []func(context.Context) error // for presence
	fatal  string                        // the last that openvpn said, if it ended by itself
	told   chan struct{}
}

// queue keeps an event until it has its turn: reading waits for nobody.
func (d *driver) queue(e openvpn.Event) {
	d.mu.Lock()
	d.events = append(d.events, e)
	if e.Kind == openvpn.Fatal {
		d.fatal = openvpn.Plain(e.Text)
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// because is why the connection ended: what openvpn said, if it said something.
func (d *driver) because(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fatal == "" {
		return err
	}
	return d.why(d.fatal)
}

// begin takes over who is in, and lets openvpn begin if it waits.
func (d *driver) begin(ctx context.Context) error {
	if err := d.conn.Release(ctx); err != nil {
		return err
	}
	// One that has just begun does not know its clients for a moment.
	for by := time.Now().Add(startWithin); ; pause(ctx, 10*time.Millisecond) {
		err := d.sync(ctx, true)
		if err == nil {
			break
		}
		if ctx.Err() != nil || errors.Is(err, openvpn.ErrClosed) || time.Now().After(by) {
			return err
		}
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	d.Server.mu.Lock()
	d.attached = true
	d.Server.mu.Unlock()
	return nil
}

// work does what events say, in their order; only decisions are made side by side.
func (d *driver) work(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		d.mu.Lock()
		events := d.events
		d.events = nil
		d.mu.Unlock()
		for _, e := range events {
			if e.Kind != openvpn.Connect && e.Kind != openvpn.Reauth {
				d.happened(ctx, e)
				continue
			}
			c := d.claim(e) // known before anybody decides: who is revoked meanwhile is found
			all.Go(func() {
				select {
				case d.slots <- struct{}{}:
					d.decide(ctx, e, c)
					<-d.slots
				case <-ctx.Done():
				}
			})
		}
	}
}

// tell takes news to presence; no decision waits for it. They go side by side, to
// share transactions: presence finds by itself which of two counts.
func (d *driver) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.told:
		}
		d.mu.Lock()
		news := d.news
		d.news = nil
		d.mu.Unlock()
		var all sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for _, one := range news {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				if err := one(ctx); err != nil && ctx.Err() == nil {
					d.Log.Warn("Presence did not hear of a tunnel; it will with the next look", "tunnel", d.Name, "error", err)
				}
			})
		}
		all.Wait()
	}
}

func (d *driver) later(one func(context.Context) error) {
	d.mu.Lock()
	d.news = append(d.news, one)
	d.mu.Unlock()
	select {
	case d.told <- struct{}{}:
	default:
	}
}

// claim reads who asks, and keeps it among those who are in.
func (d *driver) claim(e openvpn.Event) Claim {
	c := Claim{HostID: e.Var("common_name"), Serial: serial(e.Var("tls_serial_hex_0"))}
	from, err := netip.ParseAddr(cmp.Or(e.Var("trusted_ip"), e.Var("trusted_ip6"), e.Var("untrusted_ip"), e.Var("untrusted_ip6")))
	port, _ := strconv.ParseUint(cmp.Or(e.Var("trusted_port"), e.Var("untrusted_port")), 10, 16)
	if err == nil {
		c.From = netip.AddrPortFrom(from.Unmap(), uint16(port))
	}
	d.Server.mu.Lock()
	defer d.Server.mu.Unlock()
	if d.in[e.CID] == nil {
		d.in[e.CID] = &Session{HostID: c.HostID, From: c.From}
	}
	d.in[e.CID].serial = c.Serial
	return c
}

// serial is openvpn's aa:bb as the authority writes it.
func serial(text string) string {
	return strings.TrimLeft(strings.ReplaceAll(strings.ToLower(text), ":", ""), "0")
}

// decide answers one who asks.
func (d *driver) decide(ctx context.Context, e openvpn.Event, c Claim) {
	began := time.Now()
	a, err := d.judge(ctx, e, c)
	switch {
	case err == nil && e.Kind == openvpn.Reauth:
		err = d.conn.AcceptAgain(ctx, e.CID, e.KID)
	case err == nil:
		err = d.conn.Accept(ctx, e.CID, e.KID, a.Push)
	default:
		d.denied.Add(1)
		d.Log.Info("Tunnel refuses a node", "tunnel", d.Name, "host", openvpn.Plain(c.HostID), "from", c.From, "reason", err)
		reason := err.Error()
		if code := fleet.CodeOf(err); code != fleet.Denied && code != fleet.NotFound && code != fleet.Conflict {
			reason = "the server cannot decide now" // and whatever is wrong is its own affair
		}
		d.note(Note{HostID: c.HostID, Op: "tunnel refused", Tunnel: d.Name, From: c.From, Why: err.Error()})
		err = d.conn.Deny(ctx, e.CID, e.KID, reason)
		d.forget(e.CID)
	}
	took := time.Since(began)
	for old := d.slowest.Load(); old < int64(took) && !d.slowest.CompareAndSwap(old, int64(took)); old = d.slowest.Load() {
	}
	d.decided.Add(1)
	if err != nil && ctx.Err() == nil { // it went away meanwhile
		d.Log.Debug("Tunnel has no use for a decision", "tunnel", d.Name, "host", openvpn.Plain(c.HostID), "error", err)
	}
}

func (d *driver) judge(ctx context.Context, e openvpn.Event, c Claim) (a Admission, err error) {
	ctx, stop := context.WithTimeout(ctx, decideWithin)
	defer stop()
	if e.Cut || c.HostID == "" || c.Serial == "" {
		return a, fleet.Errorf(fleet.Denied, "the certificate says too much, or not whose it is")
	}
	if a, err = d.Judge(ctx, c); err != nil {
		return a, err
	}
	return a, d.reserve(ctx, e.CID, a)
}

// reserve gives an address to one session, and to no other host's.
func (d *driver) reserve(ctx context.Context, cid uint64, a Admission) error {
	d.Server.mu.Lock()
	other, held := uint64(0), ""
	for id, s := range d.in {
		if id != cid && s.Address == a.Push.Address && s.HostID != a.HostID {
			other, held = id, s.HostID
		}
	}
	if s := d.in[cid]; held == "" && s != nil {
		s.Address = a.Push.Address
	}
	d.Server.mu.Unlock()
	if held == "" {
		return nil
	}
	// The database gave the address on: whoever had it may have it no longer.
	d.kill(ctx, other, "its address is another node's")
	return fleet.Errorf(fleet.Conflict, "%s is still in use by %s, which is being put out: try again", a.Push.Address, held)
}

// kill ends a session.
func (d *driver) kill(ctx context.Context, cid uint64, why string) {
	d.Server.mu.Lock()
	s := d.in[cid]
	d.Server.mu.Unlock()
	if s == nil {
		return
	}
	d.Log.Info("Tunnel puts a node out", "tunnel", d.Name, "host", s.HostID, "address", s.Address, "reason", why)
	if err := d.conn.Kill(ctx, cid); err != nil {
		if ctx.Err() == nil {
			d.Log.Debug("Tunnel could not put a node out: it is gone", "tunnel", d.Name, "host", s.HostID, "error", err)
		}
		d.forget(cid)
		return
	}
	d.killed.Add(1)
	d.note(Note{HostID: s.HostID, Op: "tunnel ended", Tunnel: d.Name, From: s.From, Why: why})
}

func (d *driver) forget(cid uint64) {
	d.Server.mu.Lock()
	delete(d.in, cid)
	d.Server.mu.Unlock()
}

// happened takes in what openvpn says of a session.
func (d *driver) happened(ctx context.Context, e openvpn.Event) {
	switch e.Kind {
	case openvpn.Established:
		d.established(e)
	case openvpn.Disconnect:
		d.Server.mu.Lock()
		s := d.in[e.CID]
		delete(d.in, e.CID)
		d.ended[e.CID] = true
		d.Server.mu.Unlock()
		if s == nil || !s.ready {
			return
		}
		d.Log.Info("Tunnel is down", "tunnel", d.Name, "host", s.HostID, "address", s.Address, "seconds", openvpn.Plain(e.Var("time_duration")),
			"received", openvpn.Plain(e.Var("bytes_received")), "sent", openvpn.Plain(e.Var("bytes_sent")))
		d.later(func(ctx context.Context) error { return d.Nodes.Down(ctx, d.Name, *s) })
	case openvpn.Hold:
		d.later(d.conn.Release)
	case openvpn.Fatal:
		d.Log.Error("Tunnel's openvpn ends", "tunnel", d.Name, "error", openvpn.Plain(e.Text))
	}
}

func (d *driver) established(e openvpn.Event) {
	d.Server.mu.Lock()
	defer d.Server.mu.Unlock()
	s := d.in[e.CID]
	if s == nil || !s.Address.IsValid() {
		return
	}
	created, err := strconv.ParseInt(e.Var("time_unix"), 10, 64)
	if err != nil {
		created = time.Now().Unix()
	}
	s.Since, s.ready = time.Unix(created, 0), true
	s.Epoch = d.epoch(e.CID, s.Since)
	up := *s
	d.Log.Info("Tunnel is up", "tunnel", d.Name, "host", up.HostID, "address", up.Address, "from", up.From)
	d.later(func(ctx context.Context) error { return d.Nodes.Up(ctx, d.Name, up) })
}

// epoch names a session, also after we were away: openvpn counts clients from 0 after
// each start of its own, never twice in one second.
func (d *driver) epoch(cid uint64, since time.Time) string {
	return fmt.Sprintf("%d-%d-%d", d.pid, since.Unix(), cid)
}
