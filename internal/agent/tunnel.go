package agent

import (
	"context"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
)

// TunnelClient is a machine's way to the credentials of its server's tunnels. The
// identity is read for each request: it is renewed while the agent runs.
func TunnelClient(dataDir, version string) tunnel.Client {
	return tunnel.Client{
		Now: time.Now,
		CA: func() []byte {
			id, err := identity.Load(dataDir)
			if err != nil {
				return nil
			}
			return []byte(id.CA)
		},
		Ask: func(ctx context.Context, path string, in, out any) error {
			id, err := identity.Load(dataDir)
			if err != nil {
				return err
			}
			client, prepare, err := id.HTTP("fernwerk-agent/" + version)
			if err != nil {
				return err
			}
			defer client.CloseIdleConnections()
			_, err = identity.Post(ctx, client, strings.TrimSuffix(id.Server, "/")+path, prepare, in, out)
			return err
		},
	}
}
