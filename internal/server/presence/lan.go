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

// told is where a host last said that it is, beside its tunnels, and where it was when
// it said so. It is the host's, whatever its sessions are, and counts for a session
// that comes from there: a host that moves says so by its new way while the server
// still has its session of the old one.
type told struct {
	HostID string   `col:"hostId,ident,lower,valid=host,owner=host.id"`
	LAN    []string `col:"lan"`
	At     int64    `col:"at"`   // Unix milliseconds
	From   string   `col:"from"` // where the report came from
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

// Tell takes in where a host says that it is, in a report that came from an address,
// outside of tunnels or in its own. What it said before writes nothing.
func (p *Presence) Tell(ctx context.Context, hostID string, from netip.Addr, r lan.Report) error {
	hostID = strings.ToLower(hostID)
	if err := r.Check(); err != nil {
		return err
	}
	next := told{HostID: hostID, LAN: []string{}, From: text(from.Unmap().WithZone(""))}
	for _, at := range r.LAN {
		next.LAN = append(next.LAN, at.String())
	}
	var was told
	look := func(tx *store.Tx) (news bool, err error) {
		if was, err = toldBy(tx, hostID); err != nil {
			return false, err
		}
		next.At = tx.Now().UnixMilli()
		old := time.Duration(next.At-was.At) * time.Millisecond
		return was.HostID == "" || !slices.Equal(was.LAN, next.LAN) || was.From != next.From || old < 0 || old > lan.Again/2, nil
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
		tx.Wake(Topic)
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

// lanOf is where a host is by a session that counts: what its tunnel reports, else
// what the host told. elsewhere says that it told it at another place than the session
// is of.
func (s session) lanOf(t told, now time.Time) (all []string, elsewhere bool) {
	if len(s.LAN) > 0 {
		return s.LAN, false
	}
	if old := time.Duration(now.UnixMilli()-t.At) * time.Millisecond; t.HostID != s.HostID || old > lan.Life {
		return nil, false
	}
	return t.LAN, t.From != s.Client && t.From != s.Address
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
