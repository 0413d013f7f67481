// Package grid is the machine as a node: the tunnels that it enters, the mesh that
// it is in, and what else follows from that. It stands above these parts, which do
// not know each other, and is one part to agent.go.
package grid

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/lan"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/agent/nodefile"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/places"
	"github.com/fernwerk/fernwerk/internal/kit/resolver"
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
	// Trust is what was signed for files of nodes; Kept are paths outside of the data
	// folder that are the agent's own.
	Trust nodefile.Trust
	Kept  []string
	// Later is a service that waits with connecting the server while a quiet start of
	// the machine lasts; nil waits for nothing.
	Later func(run.Service) run.Service
}

// Grid is these parts, joined.
type Grid struct {
	Config
	own     *conf.Settings // as the agent found them when it started
	tunnels *tunnel.Service
	files   *nodefile.Service
	// What the part that tells the LAN hears, see [Grid.Add].
	came, moved chan struct{}
}

// New makes the parts. It starts nothing.
func New(c Config) (*Grid, error) {
	g := &Grid{Config: c, came: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
	var err error
	if g.own, err = c.Own(); err != nil {
		return nil, err
	}
	g.tunnels = c.enters()
	g.tunnels.Came = func() { ring(g.came); g.files.Wake() }
	g.files, err = c.keeper(g.own)
	return g, err
}

// Add adds the parts to those that run. One of them hears of the machine's addresses,
// and wakes those who want to know; so do tunnels that come up.
func (g *Grid) Add(group *run.Group) {
	add := func(name string, s run.Service) { group.Add(name, run.Supervise(name, s, g.Log)) }
	files := run.Service(g.files)
	if g.Later != nil {
		files = g.Later(files)
	}
	add("files", files)
	add("tunnels", g.tunnels)
	add("lan", g.tells())
	add("mesh", g.meshes())
	add("places", run.Func(func(ctx context.Context) error {
		places.Watch(ctx, func() {
			ring(g.moved)
			g.tunnels.Moved()
			g.files.Moved()
		})
		return nil
	}))
}

// ring wakes a part; twice is as once.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// meshes is the part that is in the mesh.
func (g *Grid) meshes() *mesh.Service {
	return &mesh.Service{Dir: MeshDir(g.DataDir), HostID: g.HostID, Log: g.Log, Now: time.Now, Ask: machine(g.DataDir, g.Version).Ask,
		Settings: mesh.Settings{Port: int(g.own.Int("mesh", "port")), Device: g.own.String("mesh", "device"), Program: g.own.String("mesh", "program")},
		Names:    resolver.Resolver{Dir: g.DataDir},
		Enabled: func(context.Context) (bool, error) {
			own, err := g.Own()
			return err == nil && own.Bool("mesh", "enabled"), err
		},
		Rule: func(context.Context) string {
			own, err := g.Own()
			if err != nil {
				return ""
			}
			return own.String("mesh", "dns")
		}}
}

// tells is the part that tells the server where the machine is beside its tunnels.
func (g *Grid) tells() *lan.Service {
	return &lan.Service{
		Here: func() []netip.Prefix { return places.Here(g.own.String("mesh", "device")) },
		Up: func() bool {
			all, err := tunnel.Statuses(g.DataDir)
			for _, st := range all {
				if st.State == tunnel.Connected {
					return true
				}
			}
			others, _ := tunnel.Places(g.DataDir) // somebody else may run openvpn there
			return err == nil && slices.ContainsFunc(others, func(p tunnel.Place) bool { return !p.Up })
		},
		Came: g.came, Moved: g.moved, Ask: machine(g.DataDir, g.Version).Ask, Log: g.Log,
	}
}

// MeshDir is the mesh's folder.
func MeshDir(dataDir string) string { return filepath.Join(dataDir, "mesh") }

// enters is the part that renews credentials, and is in the tunnels that it shall
// be in.
func (c Config) enters() *tunnel.Service {
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
