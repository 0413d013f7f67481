// Package identity is who this machine is, and which server it trusts.
//
// It is one file in the agent's data folder, readable by its owner only, made
// by [Join] and replaced whole. Joining pins the server's certificate authority
// by its fingerprint, which the administrator hands over with the one-time
// password; nothing secret is sent before the pin is checked. The one-time
// password is given up for the host's own key, which the server made.
package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
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
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	if err != nil {
		return id, fmt.Errorf("cannot read the machine's identity: %w", err)
	}
	return id, nil
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
	u, err := url.Parse(id.Server)
	if err != nil {
		return nil, fmt.Errorf("cannot use the server's address: %w", err)
	}
	return rpc.TLSConfig(u.Hostname(), []byte(id.CA), "")
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

// HTTP is a client for what lies beside the methods, such as the depot, and
// what a request needs to show who we are.
func (id Identity) HTTP(userAgent string) (*http.Client, func(*http.Request) error, error) {
	cfg, err := id.TLS()
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{Proxy: rpc.Direct(nil), TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: 90 * time.Second, DisableCompression: true, WriteBufferSize: 4 << 10, ReadBufferSize: 64 << 10}
	return &http.Client{Transport: transport}, func(r *http.Request) error {
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
	ca, err := fetchCA(ctx, req.Server)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot join %s: %w", req.Server, err)
	}
	id := Identity{HostID: req.HostID, Server: req.Server, CA: string(ca)}
	u, err := url.Parse(req.Server)
	if err != nil {
		return id, fleet.Errorf(fleet.Invalid, "cannot join: %w", err)
	}
	cfg, err := rpc.TLSConfig(u.Hostname(), ca, req.Fingerprint)
	if err != nil {
		return id, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join %s: the server is not the one that was named: %w", req.Server, err),
			"compare with the fingerprint that fernwerkd prints at its start; if it is right, somebody answers in the server's place")
	}
	if id.HostKey, err = fetchKey(ctx, req, cfg); err != nil {
		return id, fmt.Errorf("cannot join %s: %w", req.Server, err)
	}
	return id, id.save(dataDir)
}

// maxCA is the most bytes of a file of certificates.
const maxCA = 256 << 10

// fetchCA gets the server's certificates, from whoever answers: they are
// public, and believed only if they have the fingerprint.
func fetchCA(ctx context.Context, server string) ([]byte, error) {
	address, err := url.JoinPath(server, "ssl/ca-certs.pem")
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		Proxy: rpc.Direct(nil), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "the server does not answer: %w", err), "check the address, and that fernwerkd runs")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it has no certificates to show: %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxCA))
	if err == nil && !bytes.Contains(data, []byte("BEGIN CERTIFICATE")) {
		err = errors.New("what it shows as certificates are none")
	}
	return data, err
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
		return "", fleet.WithHint(err, "a one-time password works once: make a new one with fernwerk host create or host_updateObject")
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
