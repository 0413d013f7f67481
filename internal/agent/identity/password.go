package identity

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// JoinRequest is what an administrator hands to a new machine.
type JoinRequest struct {
	Server          string
	HostID          string
	OneTimePassword string
	Fingerprint     string // SHA-256 of the authority's certificate, in hexadecimal
	Machine         enrol.Machine
	// Root pins the trust in content, Policy says what the machine demands of it;
	// without a word it believes its server, as opsi's clients do.
	Root   *enrol.Root
	Policy enrol.Policy
	Again  bool // the identity that is there is given up
	// ServerTrust is how the server is known; with FirstUse there is no fingerprint.
	ServerTrust ServerTrust
}

// Join makes this machine the host, by its one-time password. A machine that is
// joined already stays what it is. A server that does not know how to certify
// machines, such as opsi's, gives its host key as it always did.
func Join(ctx context.Context, dataDir string, req JoinRequest) (Identity, error) {
	if err := fleet.ValidHostID(req.HostID); err != nil {
		return Identity{}, fleet.Errorf(fleet.Invalid, "cannot join: %w", err)
	}
	if old, err := mayJoin(dataDir, req.Again); err != nil {
		return old, err
	}
	u, err := address(req.Server)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot join: %w", err)
	}
	req.Server = u.String()
	id := Identity{HostID: req.HostID, Server: req.Server, Policy: req.Policy, ServerTrust: req.ServerTrust}
	if req.Root != nil {
		id.TrustVersion, id.TrustSHA256 = req.Root.Version, req.Root.SHA256
	}
	cfg, err := id.meet(ctx, dataDir, req)
	if err != nil {
		return id, err
	}
	joined, err := id.ask(ctx, dataDir, TokenRequest{Machine: req.Machine}, cfg, enrol.JoinRequest{HostID: req.HostID, OneTimePassword: req.OneTimePassword})
	if !errors.Is(err, errNoJoin) {
		return joined, err
	}
	if err := os.Remove(joiningPath(dataDir)); err != nil {
		return id, err
	}
	if id.HostKey, err = fetchKey(ctx, req, cfg); err != nil {
		return id, fmt.Errorf("cannot join %s: %w", req.Server, err)
	}
	id.dir = dataDir
	return id, id.save(dataDir)
}

// meet is the first trust in a server: nothing secret was sent to it yet.
func (id *Identity) meet(ctx context.Context, dataDir string, req JoinRequest) (*tls.Config, error) {
	if id.ServerTrust != ByAuthority {
		if req.Fingerprint != "" {
			return nil, fleet.Errorf(fleet.Invalid, "cannot join %s: a fingerprint pins its authority, and %s pins nothing", req.Server, id.ServerTrust)
		}
		id.dir = dataDir
		cfg, err := id.TLS()
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot join: %w", err)
		}
		return cfg, nil
	}
	u, err := address(req.Server)
	if err != nil {
		return nil, err
	}
	ca, err := fetchCA(ctx, req.Server)
	if err != nil {
		return nil, fmt.Errorf("cannot join %s: %w", req.Server, err)
	}
	cfg, pinned, err := pinAuthority(u.Hostname(), ca, req.Fingerprint)
	id.CA = string(pinned)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join %s: the server is not the one that was named: %w", req.Server, err),
			"compare with the fingerprint that fernwerkd prints at its start; if it is right, somebody answers in the server's place")
	}
	return cfg, nil
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
