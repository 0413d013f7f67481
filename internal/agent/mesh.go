package agent

import (
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// MeshDir is the mesh's folder.
func MeshDir(dataDir string) string { return filepath.Join(dataDir, "mesh") }

// meshSettings are what the machine's configuration, and what was signed for it,
// says of the mesh.
func meshSettings(own *conf.Settings) mesh.Settings {
	return mesh.Settings{Port: int(own.Int("mesh", "port")), Device: own.String("mesh", "device"), Program: own.String("mesh", "program")}
}

// enterMesh has the agent keep the machine in the mesh, if it is to be in it.
func (a *Agent) enterMesh(g *run.Group) error {
	own, err := conf.LoadSigned(a.file, a.trust.Configuration(a.id.NodeType), nil)
	if err != nil || !own.Bool("mesh", "enabled") {
		return err
	}
	s := &mesh.Service{Dir: MeshDir(a.cfg.DataDir), HostID: a.id.HostID, Settings: meshSettings(own), Ask: identity.Machine{DataDir: a.cfg.DataDir, UserAgent: "fernwerk-agent/" + a.cfg.Version}.Ask,
		Log: a.cfg.Log, Now: time.Now}
	g.Add("mesh", run.Supervise("mesh", run.Func(s.Serve), a.cfg.Log))
	return nil
}
