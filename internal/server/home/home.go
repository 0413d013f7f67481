// Package home is what a depot server knows of the config server that it belongs
// to: its own key there, that server's authority, and whether its row there says
// where the depot is.
//
// The first start needs the config server: its authority is taken from whoever
// answers, and believed for its fingerprint. Later ones do without, and tell it the
// place when it is back. A new root of the authority is followed by itself ([Trust]).
package home

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

var hostKeyForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Key reads the key by which the config server knows the depot server with an id.
func Key(path, id string) (string, error) {
	hint := fmt.Sprintf("make one at the config server with: fernwerk depot create %s; it belongs into %s, mode 0600", id, path)
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others than its owner may read %s", path)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	key := strings.TrimSpace(string(data))
	if err == nil && !hostKeyForm.MatchString(key) {
		err = fmt.Errorf("%s holds no host key: 32 hexadecimal digits", path)
	}
	if err != nil {
		return "", fleet.WithHint(fmt.Errorf("cannot read the host key of the depot server: %w", err), "%s", hint)
	}
	return key, nil
}

// Place keeps the depot's row at the config server right about where it is.
type Place struct {
	Client *rpc.Client
	ID     string
	Reach  string         // HOST:PORT for clients
	URLs   map[string]any // of the depot's folders, by column
	told   bool
}

// Tell writes what differs; it needs the row that `fernwerk depot create` makes.
func (p *Place) Tell(ctx context.Context) error {
	v, err := p.Client.Call(ctx, methods.Actor{}, "host_getObjects", methods.Params{Named: map[string]any{"id": p.ID}})
	if err != nil {
		return err
	}
	rows, err := rpc.Rows(v)
	if err != nil {
		return err
	}
	if len(rows) != 1 || rows[0]["type"] != fleet.OpsiDepotserver {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "the config server knows no depot server %s", p.ID), "run there: fernwerk depot create %s", p.ID)
	}
	change := fleet.Row{"type": fleet.OpsiDepotserver, "id": p.ID}
	for name, v := range p.URLs {
		if rows[0][name] != v {
			change[name] = v
		}
	}
	if rows[0].Str("depotRemoteUrl") == "" { // of the file server beside us, which may as well be another machine
		host, _, _ := net.SplitHostPort(p.Reach)
		change["depotRemoteUrl"] = "smb://" + host + "/opsi_depot"
	}
	if len(change) > 2 {
		if _, err := p.Client.Call(ctx, methods.Actor{}, "host_updateObjects", methods.Pos([]fleet.Row{change})); err != nil {
			return err
		}
	}
	p.told = true
	return nil
}

// Serve tells it when the config server was away at the start.
func (p *Place) Serve(ctx context.Context) error {
	if !p.told {
		err := retry.Do(ctx, retry.Policy{}, p.Tell)
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}
