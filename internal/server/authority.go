package server

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/server/ca"
)

// keepAuthority prepares the authority to certify hosts, and what keeps it up
// while the server runs.
func (s *Server) keepAuthority(ctx context.Context, st *store.Store, m *member, authority *ca.Authority) (*ca.Keeper, error) {
	keeper := &ca.Keeper{Authority: authority, Store: st, Log: s.cfg.Log}
	if st.Shared() {
		keeper.Shared = func(ctx context.Context) (ca.Bundle, error) { return m.Get(ctx, authorityName) }
	}
	return keeper, keeper.Begin(ctx)
}
