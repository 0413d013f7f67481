package steer

import (
	"net/netip"
	"slices"
	"time"
)

// The times of a [Choice].
const (
	// Silence is how long a peer may not answer until what is for it goes another way.
	Silence = 1500 * time.Millisecond
	// Idle is how often a peer is asked that nothing is said to, Busy one that something
	// is said to and that says nothing; Lost one that is not reached.
	Idle = 5 * time.Second
	Busy = 500 * time.Millisecond
	Lost = 2 * time.Second
	// Patience is how long the first tunnel with a peer may take in a mesh of more than
	// Eager peers.
	Patience = 2500 * time.Millisecond
	// Again is when a tunnel that did not come up is tried again, first and at most.
	Again    = 5 * time.Second
	AgainMax = 2 * time.Minute
)

// Eager is the number of peers up to which there is a tunnel with each of them before
// anything is said. In a larger mesh the first packet makes it, and is late where the
// peer is not reached.
const Eager = 256

// View is what is seen at a moment.
type View struct {
	Now time.Time
	// Up are peers with whom there is a tunnel, Pending those with whom one is being
	// made.
	Up, Pending map[netip.Addr]bool
	// Heard and Sent are when something came from a peer, or was sent to it.
	Heard, Sent map[netip.Addr]time.Time
	// Known are peers that are in the mesh by word of the server.
	Known []netip.Addr
}

// Way is what follows; each in order.
type Way struct {
	By   []netip.Addr // peers that go by the mesh
	Away []netip.Addr // that are in the mesh, and do not now
	Try  []netip.Addr // with whom a tunnel is to be made
	Ask  []netip.Addr // that are to be asked for an answer
	Drop []netip.Addr // whose tunnel is one in name only
}

// Choice remembers of peers what one look does not show. The zero value is ready.
type Choice struct{ peers map[netip.Addr]*peer }

type peer struct {
	up      time.Time // since when there is a tunnel, zero without one
	alive   bool      // it answered there
	asked   time.Time // first question that was not answered
	last    time.Time // last question
	pending time.Time // since when a tunnel is being made
	failed  bool
	next    time.Time // when a tunnel is tried again
	wait    time.Duration
}

// Look says who goes by the mesh: a peer with whom there is a tunnel in which it
// answers. What looks like a tunnel may be none any more, or not yet, for some time;
// the other way is there.
func (c *Choice) Look(v View) (w Way) {
	if c.peers == nil {
		c.peers = map[netip.Addr]*peer{}
	}
	known := map[netip.Addr]bool{}
	for _, a := range v.Known {
		known[a] = true
	}
	for a := range v.Up {
		if c.peers[a] == nil {
			c.peers[a] = &peer{}
		}
	}
	for a := range known {
		if c.peers[a] == nil {
			c.peers[a] = &peer{}
		}
	}
	for a, p := range c.peers {
		switch {
		case v.Up[a]:
			p.answers(v.Now, v.Heard[a])
			if p.due(v.Now, v.Heard[a], v.Sent[a]) {
				w.Ask = append(w.Ask, a)
			}
			if !p.alive && v.Now.Sub(p.up) > 2*Silence && !p.asked.IsZero() && v.Now.Sub(p.asked) > 2*Silence {
				w.Drop = append(w.Drop, a)
				p.up = v.Now // the next one has the same time
				p.asked = time.Time{}
			}
		case !known[a]:
			delete(c.peers, a)
			continue
		default:
			if p.without(v.Now, v.Pending[a], len(known) <= Eager) {
				w.Try = append(w.Try, a)
			}
		}
		if p.alive || p.up.IsZero() && !p.failed && len(known) > Eager {
			w.By = append(w.By, a)
		} else {
			w.Away = append(w.Away, a)
		}
	}
	for _, all := range [][]netip.Addr{w.By, w.Away, w.Try, w.Ask, w.Drop} {
		slices.SortFunc(all, netip.Addr.Compare)
	}
	return w
}

// answers looks whether a peer answers in the tunnel that there is.
func (p *peer) answers(now, heard time.Time) {
	if p.up.IsZero() {
		*p = peer{up: now}
	}
	switch {
	case heard.After(p.up) && !heard.Before(p.asked):
		p.alive, p.failed, p.asked = true, false, time.Time{}
	case !p.asked.IsZero() && now.Sub(p.asked) >= Silence:
		p.alive, p.failed = false, true
	}
}

// due tells whether a peer is to be asked, and notes that it is.
func (p *peer) due(now, heard, sent time.Time) bool {
	every := Idle
	switch {
	case !p.alive && p.failed:
		every = Lost
	case !p.asked.IsZero() || !p.alive:
		every = 0
	case sent.After(heard):
		every = Busy
	}
	if p.alive && p.asked.IsZero() && now.Sub(heard) < every || now.Sub(p.last) < every {
		return false
	}
	if p.last = now; p.asked.IsZero() {
		p.asked = now
	}
	return true
}

// without is a peer without a tunnel; it tells whether one is to be made.
func (p *peer) without(now time.Time, pending, eager bool) bool {
	if !p.up.IsZero() { // it is gone
		*p = peer{failed: true, next: now}
	}
	switch {
	case !pending:
		p.pending = time.Time{}
	case p.pending.IsZero():
		p.pending = now
	case !p.failed && !eager && now.Sub(p.pending) > Patience:
		p.failed, p.wait, p.next = true, Again, now.Add(Again)
	}
	if !p.failed && !eager || now.Before(p.next) {
		return false
	}
	p.wait = min(max(2*p.wait, Again), AgainMax)
	p.next = now.Add(p.wait)
	return true
}
