package server

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

// contentTrust opens the documents that say what hosts may run.
func (s *Server) contentTrust(ctx context.Context, st *store.Store, m *member) (*trust.Trust, error) {
	return trust.New(ctx, trust.Config{Store: st, Secrets: m, Log: s.cfg.Log, Now: s.cfg.Now})
}
