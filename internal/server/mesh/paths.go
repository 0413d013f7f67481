package mesh

import (
	"cmp"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// Paths are how nodes reach each other, as they last told this server: it is not
// kept over a start, and of several servers each knows of those that asked it.
func (m *Mesh) Paths(tx *store.Tx) ([]mesh.Way, error) {
	all, err := store.All[node](tx, nodes, nil)
	if err != nil {
		return nil, err
	}
	at := map[string]string{}
	for _, n := range all {
		at[n.Address] = n.HostID
	}
	out := []mesh.Way{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range all {
		said, ok := m.paths[n.HostID]
		if !ok || m.Now().Sub(said.at) > 5*m.Every {
			continue
		}
		when := said.at.UTC().Format(time.RFC3339)
		if len(said.all) == 0 {
			out = append(out, mesh.Way{HostID: n.HostID, Address: n.Address, Path: "none", Why: "it talks to nobody now", At: when})
		}
		for _, p := range said.all {
			one := mesh.Way{HostID: n.HostID, Address: n.Address, Peer: at[p.Address.String()], PeerAddress: p.Address.String(), Path: "relayed",
				Why: nebula.Reason(p.Reason).Text(), At: when}
			if p.Direct {
				one.Path = "direct"
			}
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b mesh.Way) int {
		return cmp.Or(cmp.Compare(a.HostID, b.HostID), cmp.Compare(a.PeerAddress, b.PeerAddress))
	})
	return out, nil
}
