package server

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/trust"
	"github.com/fernwerk/fernwerk/internal/server/updates"
)

// publishes is what offers run-once updates to hosts.
func (s *Server) publishes(st *store.Store, signed *trust.Trust) *updates.Updates {
	return updates.New(updates.Config{Store: st, Signed: signed.Signed, NodeTypes: nodeTypes, Log: s.cfg.Log})
}

// nodeTypes are those of the hosts that joined with one.
func nodeTypes(tx *store.Tx) (map[string]string, error) {
	rows, err := tx.Select(identity.Rows, nil)
	types := make(map[string]string, len(rows))
	for _, r := range rows {
		if t := r.Str("nodeType"); t != "" {
			types[r.Str("hostId")] = t
		}
	}
	return types, err
}
