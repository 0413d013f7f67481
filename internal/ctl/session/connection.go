package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Connection is a server and we as its user.
type Connection struct {
	*rpc.Client
	Account Account
	http    *http.Client // for what lies beside the methods
}

// Connect connects as the account of this run, and asks for the password where
// none is known and somebody can be asked.
func (s *Source) Connect(ctx context.Context) (*Connection, error) {
	a, err := s.Account()
	if err != nil {
		return nil, err
	}
	if a.User == "" && !Local(a.Server) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot log in to %s: no user is named", a.Server),
			"run: fernwerk login %s", a.Server)
	}
	if a.User != "" && !a.HasPassword {
		if a.Password, err = s.Console.AskSecret(fmt.Sprintf("Password of %s: ", a.User)); err != nil {
			return nil, err
		}
	}
	return s.Open(a)
}

// Local tells whether the server is on this machine, behind a socket.
func Local(server string) bool { u, err := url.Parse(server); return err == nil && u.Scheme == "unix" }

// Open makes the connection of an account; nothing is sent yet.
func (s *Source) Open(a Account) (*Connection, error) {
	cfg, err := trust(a)
	if err != nil {
		return nil, err
	}
	client, err := rpc.NewClient(rpc.Options{URL: a.Server, User: a.User, TLS: cfg, UserAgent: s.UserAgent,
		Password: func(context.Context) (string, error) { return a.Password, nil }})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second, WriteBufferSize: 64 << 10}
	return &Connection{client, a, &http.Client{Transport: transport,
		// Neither a password nor a package follows to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Trust is the trust in this server, for connections beside this one.
func (c *Connection) Trust() (*tls.Config, error) { return trust(c.Account) }

// trust is the trust in the account's server.
func trust(a Account) (*tls.Config, error) {
	u, err := url.Parse(a.Server)
	if err != nil {
		return nil, err
	}
	return pin.Config(u.Hostname(), []byte(a.CA), "")
}

// Close ends the session on the server, so that it need not wait for it to
// lapse. Whether that works changes nothing for the user.
func (c *Connection) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Logout(ctx)
	c.http.CloseIdleConnections()
}
