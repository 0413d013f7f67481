package presence

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
)

// told is where a host last said that it is, beside its tunnels. It is the host's,
// whatever its sessions are, and counts while the host comes from where it came from
// when it said so.
type told struct {
	HostID string   `col:"hostId,ident,lower,valid=host,owner=host.id"`
	LAN    []string `col:"lan"`
	At     int64    `col:"at"` // Unix milliseconds
	Client string   `col:"client"`
}

var tolds = fleet.LocalClass[told]("presenceLAN")

// A host tells so many changes at once, and one more in each interval.
const (
	burst    = 20
	interval = 10 * time.Second
)

// bucket is what a host has left to tell.
type bucket struct {
	left float64
	at   time.Time
}

// Tell takes in where a host says that it is. What it said before writes nothing.
func (p *Presence) Tell(ctx context.Context, hostID string, r lan.Report) error {
	hostID = strings.ToLower(hostID)
	if err := r.Check(); err != nil {
		return err
	}
	next := told{HostID: hostID, LAN: []string{}}
	for _, at := range r.LAN {
		next.LAN = append(next.LAN, at.String())
	}
	var was told
	look := func(tx *store.Tx) (news bool, err error) {
		if was, err = toldBy(tx, hostID); err != nil {
			return false, err
		}
		known, err := of(tx, hostID)
		if err != nil {
			return false, err
		}
		next.Client, next.At = "", tx.Now().UnixMilli()
		if s, up := newest(known, tx.Now()); up {
			next.Client = s.Client
		}
		old := time.Duration(next.At-was.At) * time.Millisecond
		return was.HostID == "" || !slices.Equal(was.LAN, next.LAN) || was.Client != next.Client || old < 0 || old > lan.Again/2, nil
	}
	news := false
	if err := p.Store.View(ctx, func(tx *store.Tx) (err error) { news, err = look(tx); return err }); err != nil || !news {
		return err
	}
	if err := p.mayTell(hostID); err != nil {
		return err
	}
	return p.Store.Update(ctx, store.Origin{Actor: "host " + hostID}, func(tx *store.Tx) error {
		if news, err := look(tx); err != nil || !news {
			return err
		}
		if host, err := tx.ByKey(fleet.Hosts, hostID); err != nil || host == nil {
			return err // it was deleted meanwhile
		}
		if !slices.Equal(was.LAN, next.LAN) {
			if err := note(tx, hostID, "lan", strings.Join(next.LAN, " ")); err != nil {
				return err
			}
		}
		if !slices.Equal(was.LAN, next.LAN) || was.Client != next.Client {
			tx.Wake(Topic)
		}
		return tx.Put(tolds, tolds.Encode(next))
	})
}

// mayTell counts what a host tells; one too many is Unavailable.
func (p *Presence) mayTell(hostID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	b := p.telling[hostID]
	if b == nil {
		for id, o := range p.telling { // who told nothing for long has all of it again
			if now.Sub(o.at) > burst*interval {
				delete(p.telling, id)
			}
		}
		b = &bucket{burst, now}
		p.telling[hostID] = b
	}
	b.left, b.at = min(burst, b.left+float64(now.Sub(b.at))/float64(interval)), now
	if b.left < 1 {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot take other LAN addresses of %s: it tells others too often", hostID), "wait a minute")
	}
	b.left--
	return nil
}

func toldBy(tx *store.Tx, hostID string) (t told, err error) {
	r, err := tx.ByKey(tolds, hostID)
	if r != nil {
		tolds.Decode(r, &t)
	}
	return t, err
}

// rebind has what a host said count for a session that begins, if it was said after
// the session began: the agent may be quicker than the news of its tunnel.
func rebind(tx *store.Tx, s session) error {
	t, err := toldBy(tx, s.HostID)
	if err != nil || t.HostID == "" || t.Client == s.Client || t.At < s.Since {
		return err
	}
	t.Client = s.Client
	return tx.Put(tolds, tolds.Encode(t))
}

// lanOf is where a host is by a session that counts: what its tunnel reports, else
// what the host told.
func (s session) lanOf(t told, now time.Time) []string {
	if len(s.LAN) > 0 {
		return s.LAN
	}
	old := time.Duration(now.UnixMilli()-t.At) * time.Millisecond
	if t.HostID != s.HostID || t.Client != s.Client || old > lan.Life {
		return nil
	}
	return t.LAN
}

// places are a session's, without those in the ranges of node types: they are in
// tunnels.
func (t types) places(client string, texts []string) []lan.Place {
	from, _ := netip.ParseAddr(client)
	var all []netip.Prefix
	for _, text := range texts {
		at, err := netip.ParsePrefix(text)
		if err == nil && lan.Valid(at) == nil && !t.ranges(at.Addr()) {
			all = append(all, at)
		}
	}
	return lan.Places(from, all)
}

// ranges tells whether an address is in the range of some node type.
func (t types) ranges(a netip.Addr) bool {
	for _, k := range t {
		if k.plan != nil && k.plan.Prefix().Contains(a) {
			return true
		}
	}
	return false
}
