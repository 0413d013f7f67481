package mesh

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// said is what a node told at its last question: for all servers of a database, and
// over their starts. It is a line for each path, at most [mesh.MaxPaths] of them.
type said struct {
	HostID string `col:"hostId,ident,lower,valid=host,owner=host.id"`
	At     int64  `col:"at"` // Unix milliseconds, as of the last write
	Up     bool   `col:"up"`
	Paths  string `col:"paths"`
	// Holds is its certificate's fingerprint, Believes the authorities that it takes.
	Holds    string `col:"holds"`
	Believes string `col:"believes"`
}

var saids = fleet.LocalClass[said]("meshSaid")

// lasting is how long what a node told counts, in questions that it did not ask.
const lasting = 5

// tell keeps what a node told. The same again is written anew only now and then: a
// question is no write.
func (m *Mesh) tell(ctx context.Context, hostID string, req mesh.Request, now time.Time) error {
	is := said{HostID: hostID, At: now.UnixMilli(), Up: req.Since > 0, Paths: lines(req.Paths), Holds: req.Holds, Believes: req.Believes}
	var was said
	err := m.Store.View(ctx, func(tx *store.Tx) error {
		r, err := tx.ByKey(saids, hostID)
		if r != nil {
			saids.Decode(r, &was)
		}
		return err
	})
	old := now.Sub(time.UnixMilli(was.At))
	was.At = is.At
	if err != nil || was == is && old >= 0 && old < (lasting/2)*m.Every {
		return err
	}
	return m.Store.Update(ctx, store.Origin{Actor: "host " + hostID}, func(tx *store.Tx) error {
		if host, err := tx.ByKey(fleet.Hosts, hostID); err != nil || host == nil {
			return err // it was deleted meanwhile
		}
		return tx.Put(saids, saids.Encode(is))
	})
}

// lines are paths as they are kept: ADDRESS WAY REASON, and VIA where it is known.
func lines(all []mesh.Path) string {
	var b strings.Builder
	for _, p := range all {
		way := "relayed"
		if p.Direct {
			way = "direct"
		}
		b.WriteString(strings.TrimSpace(fmt.Sprint(p.Address, " ", way, " ", p.Reason, " ", p.Via)) + "\n")
	}
	return b.String()
}

// lately is what nodes told not too long ago, by host.
func (m *Mesh) lately(tx *store.Tx) (map[string]said, error) {
	all, err := store.All[said](tx, saids, nil)
	out := map[string]said{}
	for _, s := range all {
		if m.Now().Sub(time.UnixMilli(s.At)) <= lasting*m.Every {
			out[s.HostID] = s
		}
	}
	return out, err
}

// Paths are how nodes reach each other, as they last told one of the servers.
func (m *Mesh) Paths(tx *store.Tx) ([]mesh.Way, error) {
	all, err := store.All[node](tx, nodes, nil)
	if err != nil {
		return nil, err
	}
	told, err := m.lately(tx)
	if err != nil {
		return nil, err
	}
	at := map[string]string{}
	for _, n := range all {
		at[n.Address] = n.HostID
	}
	out := []mesh.Way{}
	for _, n := range all {
		s, ok := told[n.HostID]
		if !ok {
			continue
		}
		one := mesh.Way{HostID: n.HostID, Address: n.Address, At: time.UnixMilli(s.At).UTC().Format(time.RFC3339)}
		if s.Paths == "" {
			one.Path, one.Why = "none", "it talks to nobody now"
			out = append(out, one)
		}
		for line := range strings.Lines(s.Paths) {
			f := strings.Fields(line)
			if len(f) == 3 {
				f = append(f, "")
			}
			if len(f) != 4 {
				continue
			}
			if _, err := netip.ParseAddr(f[0]); err == nil {
				one.Peer, one.PeerAddress, one.Path, one.Why, one.Via = at[f[0]], f[0], f[1], nebula.Reason(f[2]).Text(), f[3]
				out = append(out, one)
			}
		}
	}
	slices.SortFunc(out, func(a, b mesh.Way) int {
		return cmp.Or(cmp.Compare(a.HostID, b.HostID), cmp.Compare(a.PeerAddress, b.PeerAddress))
	})
	return out, nil
}
