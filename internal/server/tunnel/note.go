package tunnel

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// Note is what the door did to a host.
type Note struct {
	HostID, Op, Tunnel, Why string
	From                    netip.AddrPort
	// More is how often the same happened since the last note of it.
	More int64
}

const (
	// noteEach is how often the same is noted of a host: a node that knocks without a pause
	// does not fill the journal.
	noteEach = time.Hour
	// mostNoted bounds what is remembered, and by it what is noted in an hour: whoever is
	// let as far as the door shows a certificate of the authority.
	mostNoted = 4096
)

// notes are what was noted lately, by host, what, and why.
type notes map[string]*noted

type noted struct {
	at   time.Time
	more int64
}

// due tells whether something is noted now, and how often it was not before.
func (all notes) due(n Note, now time.Time) (more int64, due bool) {
	why, _, _ := strings.Cut(n.Why, ":") // what follows differs from time to time
	key := n.HostID + "\x00" + n.Op + "\x00" + why
	one := all[key]
	if one == nil {
		for k, o := range all {
			if len(all) >= mostNoted && now.Sub(o.at) >= noteEach {
				delete(all, k)
			}
		}
		if len(all) >= mostNoted {
			return 0, false
		}
		all[key] = &noted{at: now}
		return 0, true
	}
	if since := now.Sub(one.at); since >= 0 && since < noteEach {
		one.more++
		return 0, false
	}
	more = one.more
	*one = noted{at: now}
	return more, true
}

// note keeps it in the host's history; nobody waits for that.
func (d *driver) note(n Note) {
	if d.Note == nil || fleet.ValidHostID(n.HostID) != nil {
		return
	}
	d.Server.mu.Lock()
	if d.Server.noted == nil {
		d.Server.noted = notes{}
	}
	more, due := d.Server.noted.due(n, time.Now())
	d.Server.mu.Unlock()
	if !due {
		return
	}
	n.More, n.Why = more, openvpn.Plain(n.Why)
	d.later(func(ctx context.Context) error { return d.Note(ctx, n) })
}

// Keep keeps a Note of a host that there is.
func (n Note) Keep(tx *store.Tx) error {
	host, err := tx.ByKey(fleet.Hosts, strings.ToLower(n.HostID))
	if err != nil || host == nil {
		return err
	}
	said := fleet.Row{"tunnel": n.Tunnel, "notes": n.Why}
	if n.From.IsValid() {
		said["address"] = n.From.Addr().String()
	}
	if n.More > 0 {
		said["times"] = n.More
	}
	return tx.Note(fleet.Hosts.Name, fleet.Hosts.Key(host), n.Op, said)
}
