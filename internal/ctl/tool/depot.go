package tool

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Depot is the connection to a depot's own server; "" is the config server's
// depot. Who must close it is told by the second result.
func (t *Tool) Depot(ctx context.Context, id string) (conn *session.Connection, done func(), err error) {
	done = func() {}
	server, err := t.Server(ctx)
	if err != nil || id == "" {
		return server, done, err
	}
	row, err := t.DepotRow(ctx, id)
	if err != nil || row.Str("type") == fleet.OpsiConfigserver {
		return server, done, err
	}
	at, err := session.DepotURL(row)
	if err != nil {
		return nil, done, err
	}
	conn, err = t.Source.At(server.Account, at)
	if err != nil {
		return nil, done, err
	}
	return conn, conn.Close, nil
}

// DepotRow is the row of a depot.
func (t *Tool) DepotRow(ctx context.Context, id string) (fleet.Row, error) {
	rows, err := t.Rows(ctx, "host_getObjects", HostAttributes(), map[string]any{"id": strings.ToLower(id)})
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || rows[0].Str("type") == fleet.OpsiClient {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find depot %q", id), "list all with: fernwerk depot list")
	}
	return rows[0], nil
}

// DepotFlag adds --depot.
func (t *Tool) DepotFlag(c *cobra.Command, depot *string) {
	c.Flags().StringVar(depot, "depot", "", "the depot, by its host id (default the config server's)")
}
