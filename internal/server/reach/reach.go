// Package reach is the server's way to its hosts: the message bus for those who
// are connected to it, which needs no open port at the host; for the others the
// control port of their agent (4441), as opsi's clients have it; and Wake-on-LAN
// for those who sleep.
//
// # The control port
//
// A host shows there that it is asked by its server, which shows the host's key.
// So the server must know whom it shows it to: the host's certificate has to be
// of the server's own authority, and name the host. Clients of opsi that have a
// certificate of their own making are asked only where the configuration says
// trust = "any": then whoever answers at a host's address learns its key.
//
// The address is the one that the host came from last. No proxy is asked.
package reach

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Bus is the part of the message bus that is needed.
type Bus interface {
	Ask(ctx context.Context, host, method string, params []any) (any, error)
	Connected(ctx context.Context, hosts []string) (map[string]bool, error)
}

// What is believed at the control port.
const (
	Authority = "authority" // certificates of the server's own authority
	Any       = "any"       // any certificate
	Off       = "off"       // hosts are reached by the bus only
)

// Config says how hosts are reached. The zero value of a field is its default.
type Config struct {
	Bus       Bus
	Authority func() []byte // PEM
	Trust     string        // Authority
	Port      int           // 4441
	// Broadcast lists for networks where magic packets for their hosts go.
	Broadcast map[netip.Prefix][]netip.AddrPort
	Version   string
}

const (
	controlPort = 4441
	// maxAnswer is the most bytes that a host may answer.
	maxAnswer = 16 << 20
	goodbye   = time.Second
)

// Reach is the way to the hosts.
type Reach struct{ cfg Config }

var _ methods.Reach = (*Reach)(nil)

// New makes a Reach.
func New(cfg Config) *Reach {
	cfg.Trust, cfg.Port = cmp.Or(cfg.Trust, Authority), cmp.Or(cfg.Port, controlPort)
	return &Reach{cfg}
}

// Ask implements [methods.Reach].
func (r *Reach) Ask(ctx context.Context, host fleet.Row, method string, params []any) (any, error) {
	id := host.Str("id")
	result, err := r.cfg.Bus.Ask(ctx, id, method, params)
	if !errors.Is(err, bus.ErrNotConnected) {
		return result, err
	}
	if r.cfg.Trust == Off {
		return nil, fleet.Errorf(fleet.Unavailable, "cannot reach %s: %w", id, err)
	}
	address, err := r.address(host)
	if err != nil {
		return nil, err
	}
	client, err := r.client(host, address)
	if err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		client.Logout(ctx)
	}()
	result, err = client.Call(ctx, methods.Actor{}, method, methods.Params{Positional: params})
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		err = fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot ask %s at %s: its certificate cannot be verified", id, address), `%s has no certificate of this server; [host_control] trust = "any" shows its key to whoever answers there`, id)
	} else if fleet.CodeOf(err) == fleet.Unavailable {
		err = fleet.Errorf(fleet.Unavailable, "cannot reach %s: it is not connected to the message bus, and %s does not answer", id, address)
	}
	return result, err
}

// client shows the host's key, which is why it is made for one host.
func (r *Reach) client(host fleet.Row, address string) (*rpc.Client, error) {
	trust := &tls.Config{InsecureSkipVerify: true}
	if r.cfg.Trust != Any {
		var err error
		if trust, err = pin.Config(host.Str("id"), r.cfg.Authority(), ""); err != nil {
			return nil, err
		}
		trust.ServerName = host.Str("id")
	}
	return rpc.NewClient(rpc.Options{
		URL: "https://" + address + "/opsiclientd", User: host.Str("id"), TLS: trust, UserAgent: "fernwerkd/" + r.cfg.Version, Limit: maxAnswer,
		Proxy:    func(*http.Request) (*url.URL, error) { return nil, nil },
		Password: func(context.Context) (string, error) { return host.Str("opsiHostKey"), nil },
	})
}

// address is where a host's control port is.
func (r *Reach) address(host fleet.Row) (string, error) {
	ip, err := netip.ParseAddr(host.Str("ipAddress"))
	if err != nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot reach %s: it is not connected to the message bus, and its address is not known", host.Str("id")),
			"its agent connects to the bus when opsiclientd.config_service.permanent_connection is true")
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(r.cfg.Port)), nil
}

// Reachable implements [methods.Reach].
func (r *Reach) Reachable(ctx context.Context, host fleet.Row) bool {
	id := host.Str("id")
	if on, err := r.cfg.Bus.Connected(ctx, []string{id}); err == nil && on[id] {
		return true
	}
	address, err := r.address(host)
	if err != nil || r.cfg.Trust == Off {
		return false
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
