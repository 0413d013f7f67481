// Package grid is the machine as a node: the tunnels that it enters, the mesh that
// it is in, and what else follows from that. It stands above these parts, which do
// not know each other, and is one part to agent.go.
package grid

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// Config is what the parts need of the agent.
type Config struct {
	DataDir string
	Version string
	HostID  string
	// Settings are those of now; Own those that the server has no word in: the
	// machine's file, and what was signed for it.
	Settings func(context.Context) (*conf.Settings, error)
	Own      func() (*conf.Settings, error)
	Log      *slog.Logger
}

// Add adds the parts to those that run.
func Add(g *run.Group, c Config) error {
	g.Add("tunnels", run.Supervise("tunnels", c.tunnels(), c.Log))
	own, err := c.Own()
	if err != nil || !own.Bool("mesh", "enabled") {
		return err
	}
	s := &mesh.Service{Dir: MeshDir(c.DataDir), HostID: c.HostID, Log: c.Log, Now: time.Now, Ask: machine(c.DataDir, c.Version).Ask,
		Settings: mesh.Settings{Port: int(own.Int("mesh", "port")), Device: own.String("mesh", "device"), Program: own.String("mesh", "program")}}
	g.Add("mesh", run.Supervise("mesh", run.Func(s.Serve), c.Log))
	return nil
}

// MeshDir is the mesh's folder.
func MeshDir(dataDir string) string { return filepath.Join(dataDir, "mesh") }

// tunnels is the part that renews credentials, and is in the tunnels that it shall
// be in.
func (c Config) tunnels() *tunnel.Service {
	return &tunnel.Service{
		DataDir: c.DataDir, Client: TunnelClient(c.DataDir, c.Version), Log: c.Log,
		Wanted: func(ctx context.Context) (wanted []string, err error) {
			s, err := c.Settings(ctx)
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
			s, err := c.Settings(ctx)
			if err != nil {
				return ""
			}
			return s.String("tunnel_"+name, "dns")
		},
	}
}

// TunnelClient is a machine's way to the credentials of its server's tunnels.
func TunnelClient(dataDir, version string) tunnel.Client {
	m := machine(dataDir, version)
	return tunnel.Client{Now: time.Now, CA: m.CA, Ask: m.Ask}
}

func machine(dataDir, version string) identity.Machine {
	return identity.Machine{DataDir: dataDir, UserAgent: "fernwerk-agent/" + version}
}
