package server

import (
	"cmp"
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/contact"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

// contentTrust opens the documents that say what hosts may run.
func (s *Server) contentTrust(ctx context.Context, st *store.Store, m *member) (*trust.Trust, error) {
	return trust.New(ctx, trust.Config{Store: st, Secrets: m, Log: s.cfg.Log, Now: s.cfg.Now, Policies: policies})
}

// ForgetTrust has a server that does not run forget its root of trust and all that
// was signed under it.
func ForgetTrust(ctx context.Context, cfg Config) error {
	return stopped(ctx, cfg, func(_ *Server, st *store.Store) error {
		return st.Update(ctx, store.Origin{Actor: "fernwerkd trust forget"}, func(tx *store.Tx) error {
			roots, err := trust.Forget(tx)
			if err == nil && roots == 0 {
				err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot forget the root of trust: there is none"), "publish one with: fernwerk trust publish DIR")
			}
			return err
		})
	})
}

// policies are what hosts said of their policy when they last checked in. A host
// that was never in contact is not among them.
func policies(tx *store.Tx) (map[string]enrol.Policy, error) {
	told, err := contact.Policies(tx)
	out := make(map[string]enrol.Policy, len(told))
	for host, name := range told {
		if p := cmp.Or(enrol.Policy(name), enrol.PlainOpsi); enrol.ValidPolicy(p) == nil {
			out[host] = p
		}
	}
	return out, err
}
