package tunnel

import (
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// order is somebody's wish that a host's sessions end. Whichever server has them
// finds it.
type order struct {
	HostID string `col:"hostId,ident,lower,valid=host,owner=host.id"`
	Tunnel string `col:"tunnel,ident"`
	At     int64  `col:"at"` // Unix milliseconds
}

var orders = fleet.LocalClass[order]("tunnelOrder")

// Classes are for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{orders} }

// Topic wakes servers of tunnels: somebody shall be put out.
const Topic = "tunnels"

// forgotten is how long an order is kept: those who are in longer are looked at each
// few seconds.
const forgotten = time.Hour

// Disconnect has the sessions end that a host has now in a tunnel. It may come back.
func Disconnect(tx *store.Tx, hostID, tunnel string) error {
	if err := enrol.ValidTunnel(tunnel); err != nil {
		return err
	}
	old, err := store.All[order](tx, orders, nil)
	if err != nil {
		return err
	}
	for _, o := range old {
		if tx.Now().Sub(time.UnixMilli(o.At)) > forgotten {
			if err := tx.Remove(orders, orders.Encode(o)); err != nil {
				return err
			}
		}
	}
	tx.Wake(Topic)
	if err := tx.Note(fleet.Hosts.Name, fleet.Hosts.Key(fleet.Row{"id": hostID}), "disconnect", fleet.Row{"tunnel": tunnel}); err != nil {
		return err
	}
	return tx.Put(orders, orders.Encode(order{hostID, tunnel, tx.Now().UnixMilli()}))
}

// Ordered are the hosts whose sessions that began before a moment shall end.
func Ordered(tx *store.Tx, tunnel string) (map[string]time.Time, error) {
	all, err := store.All[order](tx, orders, fleet.Filter{"tunnel": tunnel})
	before := map[string]time.Time{}
	for _, o := range all {
		before[o.HostID] = time.UnixMilli(o.At)
	}
	return before, err
}
