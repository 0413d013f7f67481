package agent

import (
	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/grid"
)

// node is what the parts of a node need of the agent.
func (a *Agent) node() grid.Config {
	return grid.Config{DataDir: a.cfg.DataDir, Version: a.cfg.Version, HostID: a.id.HostID, Settings: a.now, Own: a.own, Log: a.cfg.Log,
		Files: []string{ConfFile(a.cfg.DataDir)}}
}

// Files implements [control.NodeFiles].
func (a *Agent) Files() (control.FilesStatus, error) {
	s, err := a.files.Status()
	return control.FilesStatus(s), err
}

// FilesNow implements [control.NodeFiles].
func (a *Agent) FilesNow() { a.files.Wake() }
