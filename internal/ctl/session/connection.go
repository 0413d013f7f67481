package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Connection is a server and we as its user.
type Connection struct {
	*rpc.Client
	Account Account
	base    string       // of addresses beside the methods
	http    *http.Client // for what lies there
	source  *Source
}

// Headers of opsi: how long a session may rest, and a one-time code.
const (
	lifetimeHeader = "X-Opsi-Session-Lifetime"
	codeHeader     = "X-Opsi-Mfa-Otp"
	// restTime is how long a kept session may rest, in seconds: a working day.
	restTime = "43200"
)

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
	if a.User != "" && !a.HasPassword && a.Session == "" {
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
	options := rpc.Options{URL: a.Server, User: a.User, TLS: cfg, UserAgent: s.UserAgent, Header: http.Header{},
		Password: func(context.Context) (string, error) { return a.Password, nil }}
	if a.Session != "" && !a.HasPassword {
		options.User, options.Session = "", a.Session
	}
	if a.ToKeep {
		options.Header.Set(lifetimeHeader, restTime)
	}
	if a.Code != "" {
		options.Header.Set(codeHeader, a.Code)
	}
	client, err := rpc.NewClient(options)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second, WriteBufferSize: 64 << 10}
	base := a.Server
	if Local(a.Server) {
		base = "http://localhost"
		path := strings.TrimPrefix(a.Server, "unix://")
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	return &Connection{client, a, base, &http.Client{Transport: transport,
		// Neither a password nor a package follows to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, s}, nil
}

// Keep makes the session of the connection, and not the password, what a saved
// login holds.
func (c *Connection) Keep() { c.Account.Session, c.Account.Password = c.Session(), "" }

// authorize adds what proves us to a request beside the methods.
func (c *Connection) authorize(req *http.Request) {
	switch a := c.Account; {
	case a.Session != "" && !a.HasPassword:
		req.AddCookie(&http.Cookie{Name: "opsiconfd-session", Value: a.Session})
	case a.User != "":
		req.SetBasicAuth(a.User, a.Password)
	}
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
// lapse. Whether that works changes nothing for the user. A session that is kept
// goes on; one that the server has prolonged is saved.
func (c *Connection) Close() {
	if c.Account.Session != "" {
		if now := c.Session(); now != "" && now != c.Account.Session {
			c.Account.Session = now
			_ = c.source.prolong(c.Account)
		}
		c.http.CloseIdleConnections()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Logout(ctx)
	c.http.CloseIdleConnections()
}
