package tool

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Call calls a method of the server.
func (t *Tool) Call(ctx context.Context, method string, args ...any) (any, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	return t.conn.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
}

func (t *Tool) connect(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	conn, err := t.Dial(ctx)
	if err == nil {
		t.conn = conn
	}
	return err
}

// Use makes an open connection the one of this run.
func (t *Tool) Use(conn *session.Connection) { t.conn = conn }

// Connection is the connection to a server, nil if there is none yet or it is of
// another kind.
func (t *Tool) Connection() *session.Connection {
	conn, _ := t.conn.(*session.Connection)
	return conn
}

// Server is the connection, where methods are not enough.
func (t *Tool) Server(ctx context.Context) (*session.Connection, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	conn := t.Connection()
	if conn == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot do this here: it takes a connection to a server")
	}
	return conn, nil
}

// Rows calls a method that returns objects.
func (t *Tool) Rows(ctx context.Context, method string, args ...any) ([]fleet.Row, error) {
	v, err := t.Call(ctx, method, args...)
	if err != nil {
		return nil, err
	}
	return rpc.Rows(v)
}

// Objects are the objects of a class that match a filter.
func (t *Tool) Objects(ctx context.Context, class string, filter fleet.Filter) ([]fleet.Row, error) {
	return t.Rows(ctx, class+"_getObjects", []any{}, map[string]any(filter))
}

// HostAttributes are those of hosts that anybody may see who sees the host at
// all: no keys, no passwords.
func HostAttributes() []any {
	var names []any
	for _, col := range fleet.Hosts.Columns {
		if !col.Secret {
			names = append(names, col.Name)
		}
	}
	return names
}

// Count is the number of a class's objects that match.
func (t *Tool) Count(ctx context.Context, class string, filter fleet.Filter) (int64, error) {
	v, err := t.Call(ctx, class+"_getIdents", "str", map[string]any(filter))
	if err != nil {
		return 0, err
	}
	list, _ := v.([]any)
	return int64(len(list)), nil
}
