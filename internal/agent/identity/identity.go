// Package identity is who this machine is, and which server it trusts.
//
// It is one file in the agent's data folder, readable by its owner only, made
// by [Join] or [JoinByToken] and replaced whole. Joining pins the server's
// certificate authority by its fingerprint, which the administrator hands over
// with the one-time password, or which the token carries; nothing secret is sent
// before the pin is checked. The machine makes its own key, and sends a request
// for a certificate; the token or the one-time password is given up for that
// certificate, and for the host key that opsi's protocol wants.
//
// What is renewed later ([Identity.Renewed]) counts from the next handshake on:
// a certificate is read from the file where one is shown. That is once a
// connection, and connections last.
//
// A machine may be told by name to go by the first sight of a server instead
// ([FirstUse]), as opsi's clients do: for servers that have no authority to pin.
// Nothing is pinned then; certificates are stored where they are first seen.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Identity is a joined machine.
type Identity struct {
	HostID  string `json:"hostId"`
	HostKey string `json:"hostKey"`
	Server  string `json:"server"` // https://server:4447
	CA      string `json:"ca"`     // PEM of the server's authorities, "" with FirstUse
	// ServerTrust is how servers are known.
	ServerTrust ServerTrust `json:"serverTrust,omitempty"`

	// The key of this machine, and what its server certified of it, in PEM; "" of a
	// machine that joined a plain opsi server, or before there were certificates.
	Key   string `json:"key,omitempty"`
	Chain string `json:"chain,omitempty"`

	// Policy is what the machine demands of content, "" is plain-opsi; and the root
	// of trust that it begins with, 0 and "" for none. See the package trust.
	Policy       enrol.Policy `json:"policy,omitempty"`
	TrustVersion int64        `json:"trustVersion,omitempty"`
	TrustSHA256  string       `json:"trustSHA256,omitempty"`

	NodeType string `json:"nodeType,omitempty"`
	Token    string `json:"token,omitempty"` // id of the token that it joined by

	dir string // where it was loaded from; "" never changes
}

// ServerTrust is a way to know a server.
type ServerTrust string

// The ways. FirstUse counts only where somebody chose it by this name.
const (
	ByAuthority ServerTrust = ""          // by the authorities that were pinned at joining
	FirstUse    ServerTrust = "first-use" // by the certificate that it showed first
)

// KeyPath is the host key alone in a file, for product scripts that talk to the
// local service.
func KeyPath(dataDir string) string { return filepath.Join(dataDir, "hostkey") }

// ErrNotJoined says that the machine belongs to no server yet.
var ErrNotJoined = errors.New("this machine has not joined a server")

const fileName = "identity.json"

// Path is where an agent's identity lies.
func Path(dataDir string) string { return filepath.Join(dataDir, fileName) }

// Load reads the identity.
func Load(dataDir string) (Identity, error) {
	id, err := read(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return id, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot go on: %w", ErrNotJoined),
			"run: fernwerk-agent join TOKEN; or: fernwerk-agent join --server URL --host-id ID --one-time-password PASSWORD --ca-fingerprint SHA256")
	}
	if _, ours := errors.AsType[*fs.PathError](err); ours {
		return id, fmt.Errorf("cannot read the machine's identity: %w", err)
	}
	if err == nil {
		err = id.check()
	}
	if err != nil {
		return Identity{}, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use the machine's identity %s: %w", Path(dataDir), err),
			"put it back from a backup; or remove it, give the host a new one-time password on the server, and join again")
	}
	return id, nil
}

func read(dataDir string) (id Identity, err error) {
	data, err := os.ReadFile(Path(dataDir))
	if err != nil {
		return id, err
	}
	err = json.Unmarshal(data, &id)
	id.dir = dataDir
	return id, err
}

// check refuses what [Join] would not have written. An empty key, above all,
// would open the local service to everybody.
func (id Identity) check() error {
	if err := fleet.ValidHostID(id.HostID); err != nil {
		return err
	}
	if id.HostKey == "" {
		return errors.New("it has no host key")
	}
	if err := enrol.ValidPolicy(id.Policy); err != nil {
		return err
	}
	if id.Chain != "" {
		if _, err := id.Certificate(); err != nil {
			return err
		}
	}
	_, err := id.TLS()
	return err
}

func (id Identity) save(dataDir string) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	// The identity comes last: with it the machine has joined.
	if err = atomicfile.WriteFile(KeyPath(dataDir), []byte(id.HostKey+"\n"), 0o600); err == nil {
		err = atomicfile.WriteFile(Path(dataDir), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the machine's identity: %w", err)
	}
	return nil
}

// address reads a server's address, https://server:4447.
func address(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use %q as a server's address", server), "write it as https://SERVER:4447")
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "4447")
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}

// heeds is for how long a busy server has a command of a person wait.
const heeds = 5 * time.Minute

// Client is a connection to the server as this machine.
func (id Identity) Client(userAgent string) (*rpc.Client, error) {
	cfg, err := id.TLS()
	if err != nil {
		return nil, err
	}
	return rpc.NewClient(rpc.Options{URL: id.Server, User: id.HostID, TLS: cfg, UserAgent: userAgent, Patience: heeds,
		Password: func(context.Context) (string, error) { return id.HostKey, nil }})
}

// HTTP is a client for what lies beside the methods of our server, such as its
// depot, and what a request needs to show who we are.
func (id Identity) HTTP(userAgent string) (*http.Client, func(*http.Request) error, error) {
	u, err := address(id.Server)
	if err != nil {
		return nil, nil, err
	}
	return id.HTTPTo(userAgent, u.Hostname())
}

// Parallel is how many connections to one depot are kept for the next request.
const Parallel = 16

// HTTPTo is HTTP for another host, such as a depot's, that must have a
// certificate of the same authority.
func (id Identity) HTTPTo(userAgent, host string) (*http.Client, func(*http.Request) error, error) {
	cfg, err := id.trust(host)
	if err != nil {
		return nil, nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{Proxy: pin.Direct(nil), DialContext: dialer.DialContext, TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: Parallel, DisableCompression: true, WriteBufferSize: 4 << 10, ReadBufferSize: 64 << 10}
	client := &http.Client{Transport: transport, // the host key follows to no other place
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, func(r *http.Request) error {
		r.SetBasicAuth(id.HostID, id.HostKey)
		r.Header.Set("User-Agent", userAgent)
		return nil
	}, nil
}
