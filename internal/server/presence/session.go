package presence

import (
	"cmp"
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
)

var validEpoch = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,100}$`)

// most LAN addresses that a session may report, good or not.
const maxLAN = 16

// check makes a session canonical.
func (s *Session) check() error {
	s.HostID = strings.ToLower(s.HostID)
	if err := identify(s.HostID, s.Tunnel, s.Epoch); err != nil {
		return err
	}
	if s.Since.UnixMilli() <= 0 {
		return fleet.Errorf(fleet.Invalid, "cannot report a session of %s: it began at no time", s.HostID)
	}
	if s.NodeType != "" {
		if err := enrol.ValidNodeType(s.NodeType); err != nil {
			return fleet.Errorf(fleet.Invalid, "cannot report a session of %s: %w", s.HostID, err)
		}
	}
	if len(s.LAN) > maxLAN {
		return fleet.Errorf(fleet.TooLarge, "cannot report a session of %s: it has more than %d LAN addresses", s.HostID, maxLAN)
	}
	s.Address, s.ClientAddress = s.Address.Unmap().WithZone(""), s.ClientAddress.Unmap().WithZone("")
	s.LAN = lan.New(s.LAN).LAN
	return nil
}

func identify(hostID, tunnel, epoch string) error {
	if err := fleet.ValidHostID(hostID); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot report a session: %w", err)
	}
	if err := enrol.ValidTunnel(tunnel); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot report a session: %w", err)
	}
	if !validEpoch.MatchString(epoch) {
		return fleet.Errorf(fleet.Invalid, "cannot report a session of %s: %.120q is not an epoch", hostID, epoch)
	}
	return nil
}

// Up reports that a session began, or still is. It returns when that is in the
// database, and waits for nothing else. A session that is known or that another
// one followed is nothing new, and no error. An address that another node has
// which is up is a Conflict.
func (p *Presence) Up(ctx context.Context, s Session) error {
	if err := s.check(); err != nil {
		return err
	}
	return p.Store.Update(ctx, origin, func(tx *store.Tx) error { return p.up(tx, s, false) })
}

// up is Up; it counts although an older one is known if it is certain.
func (p *Presence) up(tx *store.Tx, s Session, certain bool) error {
	known, err := of(tx, s.HostID)
	if err != nil {
		return err
	}
	was := slices.ContainsFunc(known, func(r session) bool { return r.counts(known, tx.Now()) })
	next := session{HostID: s.HostID, Tunnel: s.Tunnel, Epoch: s.Epoch, Since: s.Since.UnixMilli(), Client: text(s.ClientAddress)}
	for _, l := range s.LAN {
		next.LAN = append(next.LAN, l.String())
	}
	if !s.Until.IsZero() {
		next.Ends = s.Until.UnixMilli()
	}
	for _, r := range known {
		if r.Tunnel != s.Tunnel {
			continue
		}
		switch {
		case r.Epoch == s.Epoch && r.Ended: // its end came before it, or this is an echo
			if r.Since == 0 && !older(known, next) { // so that what began before it is known as older
				r.Since, r.Client = next.Since, next.Client
				if err := tx.Put(sessions, sessions.Encode(r)); err != nil {
					return err
				}
				tx.Wake(Topic)
				return p.forget(tx, known, r)
			}
			p.stale.Add(1)
			return nil
		case r.Epoch == s.Epoch && r.counts(known, tx.Now()):
			if next.Ends > r.Ends || !slices.Equal(next.LAN, r.LAN) { // it prolongs itself
				r.Ends, r.LAN = max(next.Ends, r.Ends), next.LAN
				tx.Wake(Topic)
				return tx.Put(sessions, sessions.Encode(r))
			}
			p.stale.Add(1)
			return nil
		}
	}
	if older(known, next) && !certain {
		p.stale.Add(1)
		return nil
	}
	a, err := p.take(tx, s.HostID, s.Address, s.NodeType)
	if err != nil {
		return err
	}
	if next.Number, err = number(tx); err != nil {
		return err
	}
	next.Address = a.Address
	a.Number = next.Number
	if !a.Seen || !was {
		a.Seen = true
		said := s.Tunnel + " " + a.Address
		if next.Client != "" {
			said += " from " + next.Client
		}
		if err := note(tx, s.HostID, "up", said); err != nil {
			return err
		}
	}
	if err := tx.Put(addresses, addresses.Encode(a)); err != nil {
		return err
	}
	if err := tx.Put(sessions, sessions.Encode(next)); err != nil {
		return err
	}
	p.ups.Add(1)
	tx.Wake(Topic)
	if certain { // whatever else is known of this tunnel is over
		for _, r := range known {
			if r.Tunnel == s.Tunnel && r.Since > 0 {
				if err := tx.Remove(sessions, sessions.Encode(r)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return p.forget(tx, known, next)
}

// older tells whether a later session of the same tunnel is known.
func older(known []session, s session) bool {
	return slices.ContainsFunc(known, func(r session) bool { return r.Tunnel == s.Tunnel && r.Since > s.Since })
}

// forget removes what no longer decides anything: sessions that began before
// newest, and ends of unknown sessions after a time.
func (p *Presence) forget(tx *store.Tx, known []session, newest session) error {
	for _, r := range known {
		if r.Tunnel != newest.Tunnel || r.Epoch == newest.Epoch {
			continue
		}
		past := r.Since > 0 && r.Since < newest.Since
		past = past || r.Since == 0 && tx.Now().Sub(time.UnixMilli(r.Ends)) > remembered
		if past {
			if err := tx.Remove(sessions, sessions.Encode(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Down reports that a session ended. It counts after the grace time, unless the
// host comes back before. What ended already, or was never there, is no error.
func (p *Presence) Down(ctx context.Context, hostID, tunnel, epoch string) error {
	hostID = strings.ToLower(hostID)
	if err := identify(hostID, tunnel, epoch); err != nil {
		return err
	}
	return p.Store.Update(ctx, origin, func(tx *store.Tx) error {
		known, err := of(tx, hostID)
		if err != nil {
			return err
		}
		return p.down(tx, known, hostID, tunnel, epoch)
	})
}

func (p *Presence) down(tx *store.Tx, known []session, hostID, tunnel, epoch string) error {
	i := slices.IndexFunc(known, func(r session) bool { return r.Tunnel == tunnel && r.Epoch == epoch })
	if i >= 0 && known[i].Ended {
		p.stale.Add(1)
		return nil
	}
	r := session{HostID: hostID, Tunnel: tunnel, Epoch: epoch, Ends: tx.Now().UnixMilli(), Ended: true}
	if i < 0 {
		p.stale.Add(1)
		if host, err := tx.ByKey(fleet.Hosts, hostID); err != nil || host == nil {
			return err // the rows went with the host
		}
	} else {
		r = known[i]
		r.Ended = true
		if end := tx.Now().Add(p.Grace).UnixMilli(); r.Ends == 0 || end < r.Ends {
			r.Ends = end
		}
		p.downs.Add(1)
		tx.Wake(Topic)
	}
	if err := tx.Put(sessions, sessions.Encode(r)); err != nil {
		return err
	}
	return p.forget(tx, known, r)
}

// Sync reports all sessions that a tunnel holds: after a restart of either side,
// or of a broken connection to it. What it does not hold has ended.
func (p *Presence) Sync(ctx context.Context, tunnel string, held []Session) error {
	has := map[string]Session{}
	for _, s := range held {
		if s.Tunnel != tunnel {
			return fleet.Errorf(fleet.Invalid, "cannot report tunnel %s: a session of %s is of tunnel %q", tunnel, s.HostID, s.Tunnel)
		}
		if err := s.check(); err != nil {
			return err
		}
		has[s.HostID] = s
	}
	return p.Store.Update(ctx, origin, func(tx *store.Tx) error {
		all, err := store.All[session](tx, sessions, fleet.Filter{"tunnel": tunnel})
		if err != nil {
			return err
		}
		for _, r := range all {
			s, still := has[r.HostID]
			switch {
			case still && s.Epoch == r.Epoch:
				delete(has, r.HostID)
				if r.Ended { // it was said too early
					r.Ended, r.Ends, r.Since = false, 0, s.Since.UnixMilli()
					if err := tx.Put(sessions, sessions.Encode(r)); err != nil {
						return err
					}
					tx.Wake(Topic)
				}
			case still, r.Ended: // another session follows it below; or it is over
			default:
				known, err := of(tx, r.HostID)
				if err == nil {
					err = p.down(tx, known, r.HostID, tunnel, r.Epoch)
				}
				if err != nil {
					return err
				}
			}
		}
		for _, s := range has {
			if err := p.up(tx, s, true); err != nil && fleet.CodeOf(err) != fleet.Conflict && fleet.CodeOf(err) != fleet.NotFound {
				return err
			}
		}
		return nil
	})
}

// of are the sessions that are known of a host.
func of(tx *store.Tx, hostID string) ([]session, error) {
	return store.All[session](tx, sessions, fleet.Filter{"hostId": hostID})
}

// counts tells whether the session, one of those known of its host, is up now:
// nothing began after it in its tunnel, and it has not ended.
func (s session) counts(known []session, now time.Time) bool {
	return s.Since > 0 && !older(known, s) && (s.Ends == 0 || now.UnixMilli() < s.Ends)
}

// number is the next number of a session, over all hosts. It is no smaller than
// the time in milliseconds, so that it rises also over the restore of a backup:
// schedulers remember the numbers that were given out after it was made.
func number(tx *store.Tx) (int64, error) {
	r, err := tx.ByKey(counts, "session")
	if err != nil {
		return 0, err
	}
	c := count{ID: "session"}
	if r != nil {
		counts.Decode(r, &c)
	}
	c.Number = max(c.Number+1, tx.Now().UnixMilli())
	return c.Number, tx.Put(counts, counts.Encode(c))
}

// note writes into the host's history.
func note(tx *store.Tx, hostID, op, said string) error {
	return tx.Note(fleet.Hosts.Name, fleet.Hosts.Key(fleet.Row{"id": hostID}), op, fleet.Row{"notes": said})
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// newest is the session that says where the host is: of those that count the one
// with the highest number.
func newest(known []session, now time.Time) (session, bool) {
	var best session
	for _, s := range known {
		if s.counts(known, now) && cmp.Compare(s.Number, best.Number) > 0 {
			best = s
		}
	}
	return best, best.Number > 0
}
