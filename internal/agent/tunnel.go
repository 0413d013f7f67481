package agent

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// entersTunnels is the part that renews credentials, and is in the tunnels that it
// shall be in.
func (a *Agent) entersTunnels() *tunnel.Service {
	settings := func(ctx context.Context) (s *conf.Settings, err error) {
		err = a.store.View(ctx, func(tx *store.Tx) error { s, err = a.settings(tx); return err })
		return s, err
	}
	return &tunnel.Service{
		DataDir: a.cfg.DataDir, Client: TunnelClient(a.cfg.DataDir, a.cfg.Version), Log: a.cfg.Log,
		Wanted: func(ctx context.Context) (wanted []string, err error) {
			s, err := settings(ctx)
			if err != nil {
				return nil, err
			}
			for _, name := range s.Tunnels() {
				if s.Bool("tunnel_"+name, "active") && enrol.ValidTunnel(name) == nil {
					wanted = append(wanted, name)
				}
			}
			return wanted, nil
		},
		Rule: func(ctx context.Context, name string) string {
			s, err := settings(ctx)
			if err != nil {
				return ""
			}
			return s.String("tunnel_"+name, "dns")
		},
	}
}

// TunnelClient is a machine's way to the credentials of its server's tunnels.
func TunnelClient(dataDir, version string) tunnel.Client {
	m := identity.Machine{DataDir: dataDir, UserAgent: "fernwerk-agent/" + version}
	return tunnel.Client{Now: time.Now, CA: m.CA, Ask: m.Ask}
}
