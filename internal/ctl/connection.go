package ctl

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// backend is what the commands call methods of.
type backend interface {
	Call(ctx context.Context, actor methods.Actor, method string, params methods.Params) (any, error)
}

// connection is a server and we as its user.
type connection struct {
	*rpc.Client
	account account
	http    *http.Client // for what lies beside the methods
}

// connect connects as the account of this run, and asks for the password where
// none is known and somebody can be asked.
func (t *tool) connect(ctx context.Context) (backend, error) {
	a, err := t.account()
	if err != nil {
		return nil, err
	}
	if a.User == "" && !local(a.Server) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot log in to %s: no user is named", a.Server),
			"run: fernwerk login %s", a.Server)
	}
	if a.User != "" && !a.hasPassword {
		if a.Password, err = t.askSecret(fmt.Sprintf("Password of %s: ", a.User)); err != nil {
			return nil, err
		}
	}
	return t.open(a)
}

func local(server string) bool { u, err := url.Parse(server); return err == nil && u.Scheme == "unix" }

// open makes the connection of an account; nothing is sent yet.
func (t *tool) open(a account) (*connection, error) {
	cfg, err := trust(a)
	if err != nil {
		return nil, err
	}
	client, err := rpc.NewClient(rpc.Options{URL: a.Server, User: a.User, TLS: cfg, UserAgent: t.agent(),
		Password: func(context.Context) (string, error) { return a.Password, nil }})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: rpc.Direct(nil), TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second, WriteBufferSize: 64 << 10}
	return &connection{client, a, &http.Client{Transport: transport,
		// Neither a password nor a package follows to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func (t *tool) agent() string { return "fernwerk/" + t.Version }

// trust is the trust in the account's server.
func trust(a account) (*tls.Config, error) {
	u, err := url.Parse(a.Server)
	if err != nil {
		return nil, err
	}
	return rpc.TLSConfig(u.Hostname(), []byte(a.CA), "")
}

// call calls a method of the server.
func (t *tool) call(ctx context.Context, method string, args ...any) (any, error) {
	if t.conn == nil {
		conn, err := t.dial(ctx)
		if err != nil {
			return nil, err
		}
		t.conn = conn
	}
	return t.conn.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
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

// hangUp ends the session on the server, so that it need not wait for it to
// lapse. Whether that works changes nothing for the user.
func (t *tool) hangUp() {
	c, ok := t.conn.(*connection)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Logout(ctx)
	c.http.CloseIdleConnections()
}
