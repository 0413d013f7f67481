package server

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	content "github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/server/contact"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

// contentTrust opens the documents that say what hosts may run.
func (s *Server) contentTrust(ctx context.Context, st *store.Store, m *member) (*trust.Trust, error) {
	return trust.New(ctx, trust.Config{Store: st, Secrets: m, Log: s.cfg.Log, Now: s.cfg.Now, Policies: policies})
}

// policies are what hosts said of their policy when they last checked in. A host
// that was never in contact is not among them.
func policies(tx *store.Tx) (map[string]content.Policy, error) {
	told, err := contact.Policies(tx)
	out := make(map[string]content.Policy, len(told))
	for host, name := range told {
		if p, err := content.ParsePolicy(name); err == nil {
			out[host] = p
		}
	}
	return out, err
}
