package presence

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// sweeps writes "down" into the history of hosts whose time is over, until ctx
// ends.
func (p *Presence) sweeps(ctx context.Context) error {
	wake, stop := p.Store.Watch(Topic)
	defer stop()
	for {
		if err := p.sweep(ctx); err != nil {
			return err
		}
		if !p.pause(ctx, wake, p.Resync) {
			return ctx.Err()
		}
	}
}

func (p *Presence) sweep(ctx context.Context) error {
	var over []string
	err := p.Store.View(ctx, func(tx *store.Tx) error {
		seen, err := store.All[address](tx, addresses, fleet.Filter{"seen": true})
		if err != nil {
			return err
		}
		for _, a := range seen {
			known, err := of(tx, a.HostID)
			if err != nil {
				return err
			}
			if _, up := newest(known, tx.Now()); !up {
				over = append(over, a.HostID)
			}
		}
		return nil
	})
	if err != nil || len(over) == 0 {
		return err
	}
	return p.Store.Update(ctx, origin, func(tx *store.Tx) error {
		for _, hostID := range over {
			a, err := addressOf(tx, hostID)
			if err != nil {
				return err
			}
			if !a.Seen {
				continue
			}
			known, err := of(tx, hostID)
			if err != nil {
				return err
			}
			if _, up := newest(known, tx.Now()); up {
				continue
			}
			a.Seen = false
			if err := tx.Put(addresses, addresses.Encode(a)); err != nil {
				return err
			}
			if err := note(tx, hostID, "down", a.Address); err != nil {
				return err
			}
		}
		return nil
	})
}

// Lookup is the reverse lookup of an address, as [net.Resolver.LookupAddr].
type Lookup func(ctx context.Context, address string) ([]string, error)

const (
	lookupTime  = 3 * time.Second
	lookupsOnce = 8
)

var clientName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,198}[A-Za-z0-9_])?$`)

// lookups finds the names of clients' addresses, until ctx ends. It is none of
// the tunnels' business: a name is there when it is.
func (p *Presence) lookups(ctx context.Context) error {
	wake, stop := p.Store.Watch(Topic)
	defer stop()
	for {
		var open []session
		err := p.Store.View(ctx, func(tx *store.Tx) (err error) {
			open, err = store.All[session](tx, sessions, fleet.Filter{"asked": false, "ended": false})
			return err
		})
		if err != nil {
			return err
		}
		if p.Lookup == nil {
			open = nil
		}
		places := make(chan struct{}, lookupsOnce)
		var all sync.WaitGroup
		for _, s := range open {
			places <- struct{}{}
			all.Go(func() { defer func() { <-places }(); p.lookup(ctx, s) })
		}
		all.Wait()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

func (p *Presence) lookup(ctx context.Context, s session) {
	name := ""
	if a, err := netip.ParseAddr(s.Client); err == nil {
		asking, cancel := context.WithTimeout(ctx, lookupTime)
		names, err := p.Lookup(asking, a.String())
		cancel()
		if err == nil && len(names) > 0 {
			name = strings.TrimSuffix(names[0], ".")
		}
		if !clientName.MatchString(name) { // anybody writes what he likes into his reverse zone
			name = ""
		}
	}
	err := p.Store.Update(ctx, origin, func(tx *store.Tx) error {
		r, err := tx.ByKey(sessions, sessions.Key(sessions.Encode(s)))
		if err != nil || r == nil {
			return err
		}
		r["asked"], r["name"] = true, name
		if name != "" {
			tx.Wake(Topic)
		}
		return tx.Put(sessions, r)
	})
	if err != nil && ctx.Err() == nil {
		p.Log.Warn("Name of a client is lost", "host", s.HostID, "error", err)
	}
}
