// Package depotclient finds the depot that products are fetched from, and speaks
// its protocol.
//
// # Which depot
//
// The client's own, which the host parameter clientconfig.depot.id names, is the
// master depot. With clientconfig.depot.dynamic it is one candidate among all that
// have the wanted products in the same versions ([Order] has the rules of
// clientconfig.depot.selection_mode): seed A's "Dynamic Depot Selection". What
// opsi's server sends for this is a program that its client executes as SYSTEM;
// here the mode is a word and the rest is data. The others stay in order behind
// the chosen one, and take over where it fails, in the middle of a product.
//
// # Which way
//
// clientconfig.depot.protocol, or an event's depot_protocol: webdav (our chunks
// where the depot speaks them, else files by WebDAV) at the depot's
// depotWebdavUrl, or cifs at its depotRemoteUrl. The config server as a depot is
// reached by webdav where this machine reaches the config server.
//
// # What is believed
//
// A product is fetched by a manifest of ours, with SHA-256 sums, that came from a
// depot whose certificate was verified; then it does not matter by which way its
// content comes, nor from whom. A depot that has none is refused, unless the
// machine's own configuration says content_policy = plain-opsi: then the `.files`
// list (MD5) counts where no depot has a manifest, and log and status say so.
package depotclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/cifs"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Protocols, the values of clientconfig.depot.protocol.
const (
	WebDAV = "webdav"
	CIFS   = "cifs"
)

// PlainOpsi is the content policy under which `.files` alone is enough.
const PlainOpsi = "plain-opsi"

// Config is this machine and its server.
type Config struct {
	HostID  string
	HostKey string
	Server  string          // https://server:4447, as it was joined
	Remote  methods.Backend // the server's methods
	// HTTP makes a client that verifies a host, and what a request to it needs.
	HTTP func(host string) (*http.Client, func(*http.Request) error, error)
	Log  *slog.Logger
}

// Client finds depots. It must be made by [New].
type Client struct {
	Config
	addresses func() ([]net.Addr, error) // of this machine

	mu    sync.Mutex
	hosts map[string]*reached
}

// reached is a host that was asked for something, with its kept connections.
type reached struct {
	client  *http.Client
	prepare func(*http.Request) error
}

// New makes a client; it connects to nothing.
func New(c Config) *Client {
	return &Client{Config: c, addresses: net.InterfaceAddrs, hosts: map[string]*reached{}}
}

// Close gives kept connections back.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		h.client.CloseIdleConnections()
	}
}

func (c *Client) host(name string) (*reached, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[name]; h != nil {
		return h, nil
	}
	client, prepare, err := c.HTTP(name)
	if err != nil {
		return nil, err
	}
	c.hosts[name] = &reached{client, prepare}
	return c.hosts[name], nil
}

// Wish is what the configuration says, and which products are wanted.
type Wish struct {
	Protocol string // WebDAV or CIFS
	Policy   string // content_policy
	Dynamic  bool
	Mode     string // of the selection
	Master   string // the client's depot
	Fixed    string // depot_id: this one and no other
	URL      string // address of the depot instead of its own
	Domain   string
	User     string
	Password string
	Products []string
	Known    []fleet.Host // depots that are known already
}

// depot is a candidate with its addresses.
type depot struct {
	fleet.Host
	base   string      // https://depot:4447; "" if it has no depotWebdavUrl
	folder string      // base and /depot
	share  *cifs.Share // nil: not wanted, or no depotRemoteUrl
	fault  error       // why it cannot be used
}

// near is the address to measure how far the depot is, and whether TLS is
// spoken there.
func (d *depot) near() (address string, secure bool) {
	if d.share != nil {
		return d.share.Address(), false
	}
	return strings.TrimPrefix(d.base, "https://"), true
}

// Choose finds the candidates and puts them in order. It asks the network only
// if there is something to choose.
func (c *Client) Choose(ctx context.Context, w Wish) (*Choice, error) {
	if w.Protocol != WebDAV && w.Protocol != CIFS {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot fetch products: unknown depot protocol %q", w.Protocol),
			"set clientconfig.depot.protocol to webdav or cifs")
	}
	hosts, reason, err := c.candidates(ctx, w)
	if err != nil {
		return nil, err
	}
	ch := &Choice{client: c, wish: w, plain: map[string]bool{}}
	var faults []error
	for _, h := range hosts {
		d := c.depot(h, w)
		if d.fault != nil {
			faults = append(faults, d.fault)
			continue
		}
		ch.depots = append(ch.depots, d)
	}
	if len(ch.depots) == 0 {
		return nil, fmt.Errorf("cannot fetch products: no depot can be used: %w", faults[0])
	}
	if len(ch.depots) > 1 {
		reason = c.order(ctx, w, ch.depots)
	}
	ch.Reason = reason
	for _, d := range ch.depots {
		ch.Depots = append(ch.Depots, string(d.ID))
	}
	c.Log.Info("depot chosen", "depot", ch.Depots[0], "protocol", w.Protocol, "reason", reason, "candidates", ch.Depots)
	return ch, nil
}

// candidates are the depots that may be used, and why there is no choice.
func (c *Client) candidates(ctx context.Context, w Wish) (hosts []fleet.Host, reason string, err error) {
	ids, reason := []string{w.Master}, "it is the client's depot"
	switch {
	case w.Fixed != "":
		ids, reason = []string{w.Fixed}, "depot_id names it"
	case w.URL != "":
		reason = "[depot_server] url names its address"
	case w.Dynamic:
		others, err := c.alternatives(ctx, w.Master, w.Products)
		if err != nil {
			c.Log.Warn("other depots are not known", "error", err)
			reason = "it is the client's depot; which others there are the server did not say"
		} else if len(others) == 0 {
			reason = "no other depot has all the products in these versions"
		}
		ids = append(ids, others...)
	}
	known := map[string]fleet.Host{}
	for _, h := range w.Known {
		known[string(h.ID)] = h
	}
	var missing []any
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		v, err := c.Remote.Call(ctx, methods.Actor{}, "host_getObjects", methods.Pos([]any{}, map[string]any{"id": missing}))
		var rows []fleet.Row
		if err == nil {
			rows, err = rpc.Rows(v)
		}
		if err != nil {
			return nil, "", fmt.Errorf("cannot find the depot's address: %w", err)
		}
		for _, r := range rows {
			var h fleet.Host
			fleet.Hosts.Decode(r, &h)
			known[string(h.ID)] = h
		}
	}
	for _, id := range ids {
		if h, ok := known[id]; ok && (h.Type == fleet.OpsiConfigserver || h.Type == fleet.OpsiDepotserver) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return nil, "", fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot fetch products: there is no depot %q", ids[0]),
			"look at clientconfig.depot.id and at depot_id in [depot_server]")
	}
	return hosts, reason, nil
}

// alternatives are the depots that have the products as the client's own.
func (c *Client) alternatives(ctx context.Context, master string, products []string) ([]string, error) {
	wanted := make([]any, len(products))
	for i, p := range products {
		wanted[i] = p
	}
	v, err := c.Remote.Call(ctx, methods.Actor{}, "configState_getClientToDepotserver", methods.Pos([]any{}, []any{c.HostID}, false, wanted))
	if err != nil {
		return nil, err
	}
	var ids []string
	list, _ := v.([]any)
	for _, e := range list {
		answer, _ := e.(map[string]any)
		if answer["clientId"] != c.HostID {
			continue
		}
		others, _ := answer["alternativeDepotIds"].([]any)
		for _, o := range others {
			if id, ok := o.(string); ok && fleet.ValidHostID(id) == nil && id != master && !slices.Contains(ids, id) && len(ids) < maxDepots {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// maxDepots bounds what a server may make us look at.
const maxDepots = 64

// depot makes a candidate's addresses.
func (c *Client) depot(h fleet.Host, w Wish) *depot {
	d := &depot{Host: h}
	dav, remote := h.DepotWebdavURL, h.DepotRemoteURL
	if w.URL != "" {
		if strings.HasPrefix(w.URL, "smb://") || strings.HasPrefix(w.URL, "cifs://") {
			remote = w.URL
		} else {
			dav = w.URL
		}
	}
	if base, folder, err := address(dav); err == nil {
		d.base, d.folder = base, folder
	} else if d.fault = err; w.Protocol == CIFS {
		d.fault = nil // only the manifest cannot be had from it
	}
	if h.Type == fleet.OpsiConfigserver && w.URL == "" {
		d.base, d.fault = c.Server, nil
		if d.folder = c.Server + "/depot"; dav != "" {
			if u, err := url.Parse(dav); err == nil && u.Path != "" {
				d.folder = c.Server + u.EscapedPath()
			}
		}
	}
	if w.Protocol == CIFS {
		d.share, d.fault = cifs.New(remote, c.credentials(w))
	}
	if d.fault != nil {
		d.fault = fmt.Errorf("depot %s: %w", h.ID, d.fault)
	}
	return d
}

// address reads a depotWebdavUrl, webdavs://depot:4447/depot. Without TLS
// nothing would be verified, and the host key would travel openly.
func address(text string) (base, folder string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "webdavs" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use %q as depotWebdavUrl", text), "write it as webdavs://DEPOT:4447/depot")
	}
	port := u.Port()
	if port == "" {
		port = "4447"
	}
	if u.Path == "" {
		u.Path = "/depot"
	}
	base = "https://" + net.JoinHostPort(u.Hostname(), port)
	return base, base + strings.TrimSuffix(u.EscapedPath(), "/"), nil
}

// credentials open a share: those of the configuration, else the server's, which
// gives them encrypted with the host key.
func (c *Client) credentials(w Wish) func(context.Context) (cifs.Credentials, error) {
	domain, user, ok := strings.Cut(w.User, `\`)
	if !ok {
		domain, user = w.Domain, w.User
	}
	return func(ctx context.Context) (cifs.Credentials, error) {
		cred := cifs.Credentials{Domain: domain, User: user, Password: w.Password}
		if cred.Password != "" {
			return cred, nil
		}
		v, err := c.Remote.Call(ctx, methods.Actor{}, "user_getCredentials", methods.Pos(user, c.HostID))
		if err != nil {
			return cred, err
		}
		answer, _ := v.(map[string]any)
		sealed, _ := answer["password"].(string)
		cred.Password, err = unseal(sealed, c.HostKey)
		return cred, err
	}
}

// trust is how a depot's certificate is verified while its distance is measured.
func (c *Client) trust(host string) (*tls.Config, error) {
	h, err := c.host(host)
	if err != nil {
		return nil, err
	}
	if t, ok := h.client.Transport.(*http.Transport); ok && t.TLSClientConfig != nil {
		return t.TLSClientConfig.Clone(), nil
	}
	return nil, fleet.Errorf(fleet.Denied, "%s cannot be verified", host)
}
