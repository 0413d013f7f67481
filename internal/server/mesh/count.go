package mesh

import (
	"context"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// readWithin is how long a number may take.
const readWithin = 5 * time.Second

// Numbers tells the mesh's numbers to whoever keeps such numbers. grows says that a number
// never falls. What nodes told is the same at all servers of a database. Bytes that the
// hub relays are not among them: nebula does not count them.
func (m *Mesh) Numbers(keep func(grows bool, name, help string, read func() float64)) {
	keep(false, "mesh_hub", "1 while this server is the mesh's hub.", func() float64 { return number(m.hubs.Load()) })
	keep(false, "mesh_hub_peers", "Nodes that have a tunnel with the hub, if this server is it.", func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.hubs.Load() {
			return 0
		}
		return float64(len(m.seen))
	})
	keep(false, "mesh_nodes_up", "Nodes that told lately that they are in the mesh.", m.told(func(s said) int {
		if s.Up {
			return 1
		}
		return 0
	}))
	keep(false, "mesh_paths_direct", "Paths between nodes that are direct, as each end tells it: two for a pair.", m.told(func(s said) int { return strings.Count(s.Paths, " direct ") }))
	keep(false, "mesh_paths_relayed", "Paths between nodes that the hub relays, as each end tells it.", m.told(func(s said) int { return strings.Count(s.Paths, " relayed ") }))
	keep(true, "mesh_questions_total", "Questions of nodes.", func() float64 { return float64(m.count.asked.Load()) })
	keep(true, "mesh_refused_total", "Questions of nodes that were refused.", func() float64 { return float64(m.count.refused.Load()) })
	keep(true, "mesh_certificates_total", "Certificates given to nodes.", func() float64 { return float64(m.count.certified.Load()) })
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// told sums over what nodes told lately; it is 0 while the database does not answer.
func (m *Mesh) told(of func(said) int) func() float64 {
	return func() (n float64) {
		ctx, stop := context.WithTimeout(context.Background(), readWithin)
		defer stop()
		_ = m.Store.View(ctx, func(tx *store.Tx) error {
			all, err := m.lately(tx)
			for _, s := range all {
				n += float64(of(s))
			}
			return err
		})
		return n
	}
}
