// Package identity is who this machine is, and which server it trusts.
//
// It is one file in the agent's data folder, readable by its owner only, made
// by [Join] and replaced whole. Joining pins the server's certificate authority
// by its fingerprint, which the administrator hands over with the one-time
// password; nothing secret is sent before the pin is checked. The one-time
// password is given up for the host's own key, which the server made.
package identity

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Identity is a joined machine.
type Identity struct {
	HostID  string `json:"hostId"`
	HostKey string `json:"hostKey"`
	Server  string `json:"server"` // https://server:4447
	CA      string `json:"ca"`     // PEM of the server's authority
}

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
	var id Identity
	data, err := os.ReadFile(Path(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return id, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot start the agent: %w", ErrNotJoined),
			"run: fernwerk-agent join --server URL --host-id ID --one-time-password PASSWORD --ca-fingerprint SHA256")
	}
	if err != nil {
		return id, fmt.Errorf("cannot read the machine's identity: %w", err)
	}
	if err = json.Unmarshal(data, &id); err == nil {
		err = id.check()
	}
	if err != nil {
		return Identity{}, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use the machine's identity %s: %w", Path(dataDir), err),
			"put it back from a backup; or remove it, give the host a new one-time password on the server, and join again")
	}
	return id, nil
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

// TLS is the trust in the server.
func (id Identity) TLS() (*tls.Config, error) {
	u, err := address(id.Server)
	if err != nil {
		return nil, err
	}
	if id.CA == "" { // no authority would mean the system's
		return nil, errors.New("cannot trust the server: its authority is missing")
	}
	return pin.Config(u.Hostname(), []byte(id.CA), "")
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

// Client is a connection to the server as this machine.
func (id Identity) Client(userAgent string) (*rpc.Client, error) {
	cfg, err := id.TLS()
	if err != nil {
		return nil, err
	}
	return rpc.NewClient(rpc.Options{URL: id.Server, User: id.HostID, TLS: cfg, UserAgent: userAgent,
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
	if id.CA == "" { // no authority would mean the system's
		return nil, nil, fmt.Errorf("cannot trust %s: the authority is missing", host)
	}
	cfg, err := pin.Config(host, []byte(id.CA), "")
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

// JoinRequest is what an administrator hands to a new machine.
type JoinRequest struct {
	Server          string
	HostID          string
	OneTimePassword string
	Fingerprint     string // SHA-256 of the authority's certificate, in hexadecimal
}

// Join makes this machine the host. A machine that is joined already stays
// what it is.
func Join(ctx context.Context, dataDir string, req JoinRequest) (Identity, error) {
	if err := fleet.ValidHostID(req.HostID); err != nil {
		return Identity{}, fleet.Errorf(fleet.Invalid, "cannot join: %w", err)
	}
	if old, err := Load(dataDir); err == nil {
		return old, fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot join as %s: this machine is %s of %s already", req.HostID, old.HostID, old.Server),
			"to make it another host, stop the agent and remove %s", Path(dataDir))
	} else if !errors.Is(err, ErrNotJoined) {
		return Identity{}, err
	}
	u, err := address(req.Server)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot join: %w", err)
	}
	req.Server = u.String()
	ca, err := fetchCA(ctx, req.Server)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot join %s: %w", req.Server, err)
	}
	id := Identity{HostID: req.HostID, Server: req.Server}
	cfg, pinned, err := pinAuthority(u.Hostname(), ca, req.Fingerprint)
	id.CA = string(pinned)
	if err != nil {
		return id, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join %s: the server is not the one that was named: %w", req.Server, err),
			"compare with the fingerprint that fernwerkd prints at its start; if it is right, somebody answers in the server's place")
	}
	if id.HostKey, err = fetchKey(ctx, req, cfg); err != nil {
		return id, fmt.Errorf("cannot join %s: %w", req.Server, err)
	}
	return id, id.save(dataDir)
}

// pinAuthority finds the authority with the fingerprint. Only that one is kept: whoever
// answered in the server's place may have added one of his own.
func pinAuthority(host string, ca []byte, fingerprint string) (cfg *tls.Config, pinned []byte, err error) {
	if fingerprint == "" {
		return nil, nil, errors.New("its fingerprint is not given")
	}
	err = errors.New("what it shows as certificates are none")
	for rest := ca; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, nil, err
		}
		pinned = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
		if cfg, err = pin.Config(host, pinned, fingerprint); err == nil {
			return cfg, pinned, nil
		}
	}
}

// maxCA is the most bytes of a file of certificates.
const maxCA = 256 << 10

// fetchCA gets the server's certificates, from whoever answers: they are
// public, and believed only if they have the fingerprint.
func fetchCA(ctx context.Context, server string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/ssl/ca-certs.pem", nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		Proxy: pin.Direct(nil), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "the server does not answer: %w", err), "check the address, and that fernwerkd runs")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it has no certificates to show: %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxCA))
}

// fetchKey gives the one-time password for the host's key.
func fetchKey(ctx context.Context, req JoinRequest, cfg *tls.Config) (string, error) {
	client, err := rpc.NewClient(rpc.Options{URL: req.Server, User: req.HostID, TLS: cfg, UserAgent: "fernwerk-agent",
		Password: func(context.Context) (string, error) { return req.OneTimePassword, nil }})
	if err != nil {
		return "", err
	}
	v, err := client.Call(ctx, methods.Actor{}, "host_getObjects", methods.Pos([]any{}, map[string]any{"id": req.HostID}))
	if err != nil {
		if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); !untrusted && fleet.CodeOf(err) == fleet.Unauthenticated {
			err = fleet.WithHint(err, "a one-time password works once: make a new one with fernwerk host create or host_updateObject")
		}
		return "", err
	}
	client.Logout(ctx)
	rows, err := rpc.Rows(v)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || rows[0].Str("opsiHostKey") == "" {
		return "", fleet.Errorf(fleet.NotFound, "the server has no key for host %s", req.HostID)
	}
	return rows[0].Str("opsiHostKey"), nil
}
