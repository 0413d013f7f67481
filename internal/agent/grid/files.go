package grid

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/nodefile"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	content "github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// filesExchange is how long one question may take, with a content of 1 MiB over a
// slow line.
const filesExchange = 3 * time.Minute

// keeper makes the part that keeps the files of the node's type right.
func (c Config) keeper(own *conf.Settings) (*nodefile.Service, error) {
	ask := machine(c.DataDir, c.Version).Ask
	return nodefile.New(nodefile.Config{
		State: filepath.Join(c.DataDir, "files.json"), Root: own.String("files", "root"), Own: append([]string{c.DataDir}, c.Kept...), Trust: c.Trust,
		Restart: nodefile.Restarter(own.String("files", "restart")), Log: c.Log, Now: time.Now,
		Ask: func(ctx context.Context, path string, in, out any) error {
			ctx, cancel := context.WithTimeout(ctx, filesExchange)
			defer cancel()
			return ask(ctx, path, in, out)
		},
		Who: func() (string, enrol.Policy, error) { // it counts from when it is set
			id, err := identity.Load(c.DataDir)
			return id.NodeType, id.Policy, err
		},
	})
}

// Files is how the files of the node's type are.
func (g *Grid) Files() (content.Machine, error) { return g.files.Status() }

// FilesNow has the server asked for them.
func (g *Grid) FilesNow() { g.files.Wake() }
