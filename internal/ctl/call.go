package ctl

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// backend is what the commands call methods of.
type backend interface {
	Call(ctx context.Context, actor methods.Actor, method string, params methods.Params) (any, error)
}

// call calls a method of the server.
func (t *tool) call(ctx context.Context, method string, args ...any) (any, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	return t.conn.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
}

func (t *tool) connect(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	conn, err := t.dial(ctx)
	if err == nil {
		t.conn = conn
	}
	return err
}

// server is the connection, where methods are not enough.
func (t *tool) server(ctx context.Context) (*session.Connection, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	conn, ok := t.conn.(*session.Connection)
	if !ok {
		return nil, fleet.Errorf(fleet.NotHere, "cannot do this here: it takes a connection to a server")
	}
	return conn, nil
}

// rows calls a method that returns objects.
func (t *tool) rows(ctx context.Context, method string, args ...any) ([]fleet.Row, error) {
	v, err := t.call(ctx, method, args...)
	if err != nil {
		return nil, err
	}
	return rpc.Rows(v)
}

// objects are the objects of a class that match a filter.
func (t *tool) objects(ctx context.Context, class string, filter fleet.Filter) ([]fleet.Row, error) {
	return t.rows(ctx, class+"_getObjects", []any{}, map[string]any(filter))
}
