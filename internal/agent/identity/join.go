package identity

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// TokenRequest is a join by a token.
type TokenRequest struct {
	Token    string
	NodeType string // "" is the token's
	Machine  enrol.Machine
	Again    bool // the identity that is there is given up
	// Waiting is told the number by which an administrator finds the machine's
	// request, while it waits.
	Waiting func(number string)
}

// FirstBoot is a join without a token: whoever answers at the address is believed
// from then on.
type FirstBoot struct {
	Server      string
	Fingerprint string // "" is whatever is there
	TokenRequest
}

// joining is what must survive between asking and the answer: the key. A machine
// that asks again with the same key is the same machine.
type joining struct {
	Key     string `json:"key"`
	Machine string `json:"machine"` // system UUID: an image that is started elsewhere makes its own key
	Asked   string `json:"asked"`   // id of the token
}

func joiningPath(dataDir string) string { return filepath.Join(dataDir, "joining.json") }

// JoinByToken makes this machine a host by a token. A machine that is joined
// already stays what it is, unless it is to join again.
func JoinByToken(ctx context.Context, dataDir string, req TokenRequest) (Identity, error) {
	t, err := enrol.ParseToken(req.Token)
	if err != nil {
		return Identity{}, err
	}
	if old, err := mayJoin(dataDir, req.Again); err != nil {
		if old.Token == t.ID && old.HostID != "" {
			return old, nil // a unit that runs at every boot
		}
		return old, err
	}
	var tried []error
	for _, at := range t.Addresses {
		server := "https://" + at
		id := Identity{Server: server, Policy: t.Policy, NodeType: t.NodeType, Token: t.ID}
		if t.Root != nil {
			id.TrustVersion, id.TrustSHA256 = t.Root.Version, t.Root.SHA256
		}
		cfg, err := id.believe(ctx, t.CA)
		if err == nil {
			return id.ask(ctx, dataDir, req, cfg, enrol.JoinRequest{Token: req.Token, NodeType: req.NodeType})
		}
		if ctx.Err() != nil {
			return id, err
		}
		tried = append(tried, fmt.Errorf("cannot join %s: %w", server, err))
	}
	return Identity{}, errors.Join(tried...)
}

// JoinAtFirstBoot makes this machine a host of a server that lets machines ask
// without a token.
func JoinAtFirstBoot(ctx context.Context, dataDir string, req FirstBoot) (Identity, error) {
	if old, err := mayJoin(dataDir, req.Again); err != nil {
		return old, err
	}
	u, err := address(req.Server)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot join: %w", err)
	}
	id := Identity{Server: u.String(), Policy: enrol.PlainOpsi, NodeType: req.NodeType}
	if req.Fingerprint == "" {
		ca, err := fetchCA(ctx, id.Server)
		if err != nil {
			return id, fmt.Errorf("cannot join %s: %w", id.Server, err)
		}
		certs, err := pin.Certificates(ca)
		if err != nil {
			return id, fmt.Errorf("cannot join %s: %w", id.Server, err)
		}
		req.Fingerprint = fingerprint(certs[0].Raw)
	}
	cfg, err := id.believe(ctx, req.Fingerprint)
	if err != nil {
		return id, fmt.Errorf("cannot join %s: %w", id.Server, err)
	}
	return id.ask(ctx, dataDir, req.TokenRequest, cfg, enrol.JoinRequest{NodeType: req.NodeType})
}

// mayJoin refuses a machine that is a host already.
func mayJoin(dataDir string, again bool) (Identity, error) {
	old, err := Load(dataDir)
	switch {
	case errors.Is(err, ErrNotJoined) || again && (err == nil || fleet.CodeOf(err) == fleet.Invalid):
		return Identity{}, nil
	case err != nil:
		return Identity{}, err
	}
	return old, fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot join: this machine is %s of %s already", old.HostID, old.Server),
		"if it is a copy of another machine, or shall be another host, stop the agent and run: fernwerk-agent join --again TOKEN; that gives up %s", Path(dataDir))
}

// believe gets the authority with a fingerprint, and trusts it.
func (id *Identity) believe(ctx context.Context, fingerprint string) (*tls.Config, error) {
	u, err := address(id.Server)
	if err != nil {
		return nil, err
	}
	ca, err := fetchCA(ctx, id.Server)
	if err != nil {
		return nil, err
	}
	cfg, pinned, err := pinAuthority(u.Hostname(), ca, fingerprint)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "the server is not the one that was named: %w", err),
			"if its address is right, somebody answers in the server's place; or it has a new authority since: make another token")
	}
	id.CA = string(pinned)
	return cfg, nil
}

// ask sends the request until there is an answer, and keeps what comes.
func (id Identity) ask(ctx context.Context, dataDir string, req TokenRequest, cfg *tls.Config, out enrol.JoinRequest) (Identity, error) {
	j, err := begin(dataDir, req.Machine, id.Token)
	if err != nil {
		return id, err
	}
	if out.CSR, err = requestFor(j.Key); err != nil {
		return id, err
	}
	out.Machine = req.Machine
	wait := firstWait
	for told := false; ; wait = min(2*wait, longestWait) {
		var in enrol.JoinAnswer
		if err := postJoin(ctx, id.Server, cfg, out, &in); err != nil {
			if c := fleet.CodeOf(err); c == fleet.Denied || c == fleet.Unauthenticated || c == fleet.Invalid { // and not: nobody knows
				os.Remove(joiningPath(dataDir))
			}
			return id, cannotJoin(id.Server, err)
		}
		if in.Pending == "" {
			return id.keep(dataDir, j, in)
		}
		if !told && req.Waiting != nil {
			req.Waiting(in.Pending)
		}
		told = true
		select {
		case <-ctx.Done():
			return id, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot join %s yet: request %s waits for an administrator", id.Server, in.Pending), "run the same command again when it is approved")
		case <-time.After(wait):
		}
	}
}

// How long a machine waits before it asks again whether it was approved.
const (
	firstWait   = time.Second
	longestWait = 15 * time.Second
)

// begin makes the key, or finds the one that was made for this join before.
func begin(dataDir string, m enrol.Machine, asked string) (j joining, err error) {
	data, err := os.ReadFile(joiningPath(dataDir))
	if err == nil && json.Unmarshal(data, &j) == nil && j.Asked == asked && j.Machine == m.SystemUUID {
		if _, err := requestFor(j.Key); err == nil {
			return j, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return j, fmt.Errorf("cannot read the key of an earlier try: %w", err)
	}
	j = joining{Machine: m.SystemUUID, Asked: asked}
	if j.Key, _, err = newKey(); err != nil {
		return j, err
	}
	data, err = json.Marshal(j)
	if err == nil {
		err = atomicfile.WriteFile(joiningPath(dataDir), data, 0o600)
	}
	if err != nil {
		return j, fmt.Errorf("cannot keep the machine's key: %w", err)
	}
	return j, nil
}

// keep makes an answer the identity.
func (id Identity) keep(dataDir string, j joining, in enrol.JoinAnswer) (Identity, error) {
	err := fleet.ValidHostID(in.HostID)
	if err == nil {
		err = certified(j.Key, in.Chain, in.HostID)
	}
	if err != nil {
		return id, fleet.Errorf(fleet.Denied, "cannot join %s: %w", id.Server, err)
	}
	id.HostID, id.HostKey, id.Key, id.Chain = in.HostID, in.HostKey, j.Key, in.Chain
	if id.Policy == "" {
		id.Policy = enrol.PlainOpsi
	}
	if err := id.check(); err != nil {
		return id, fleet.Errorf(fleet.Denied, "cannot join %s: what it answers is no identity: %w", id.Server, err)
	}
	// What the former identity had said at its contacts is not ours.
	for _, left := range []string{ContactPath(dataDir), CRLPath(dataDir)} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return id, err
		}
	}
	if err := id.save(dataDir); err != nil {
		return id, err
	}
	id.dir = dataDir
	return id, os.Remove(joiningPath(dataDir))
}

// ContactPath is where the marks of the contacts lie; see the package contact.
func ContactPath(dataDir string) string { return filepath.Join(dataDir, "contact.json") }

// CRLPath is where the newest list of revocations lies, in DER.
func CRLPath(dataDir string) string { return filepath.Join(dataDir, "revoked.crl") }

// errNoJoin says that a server knows nothing of certificates: opsi's, or an older one.
var errNoJoin = errors.New("the server does not know how to join by certificate")

func postJoin(ctx context.Context, server string, cfg *tls.Config, in, out any) error {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: cfg.Clone(), DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	reply, err := Post(ctx, client, server+"/v1/join", nil, in, out)
	status := reply.Status
	if status == http.StatusNotFound && fleet.CodeOf(err) != fleet.Denied || status != 0 && errors.Is(err, ErrNotOurs) {
		return errNoJoin
	}
	return err
}

// cannotJoin names the server in an error. One that the server explains says
// already what could not be done; it is not said twice.
func cannotJoin(server string, err error) error {
	cause, said := strings.CutPrefix(err.Error(), "cannot join: ")
	switch {
	case said:
		told := fleet.Errorf(fleet.CodeOf(err), "cannot join %s: %s", server, cause)
		if hint := fleet.HintOf(err); hint != "" {
			return fleet.WithHint(told, "%s", hint)
		}
		return told
	case strings.HasPrefix(cause, "cannot join "):
		return err // ... as a host, whose server the administrator knows
	}
	return fmt.Errorf("cannot join %s: %w", server, err)
}

// ErrNotOurs says that an answer is not in the form of a Fernwerk server.
var ErrNotOurs = errors.New("the answer is not a Fernwerk server's")

const maxAnswer = 4 << 20

// Reply is what an answer was like.
type Reply struct {
	Status int    // 0: there was none
	Shown  []byte // PEM: the certificates that the server showed
}

// Post sends JSON and reads JSON. An error that the server explains is told in its
// words, with its code and hint.
func Post(ctx context.Context, client *http.Client, url string, prepare func(*http.Request) error, in, out any) (r Reply, err error) {
	data, err := json.Marshal(in)
	if err != nil {
		return r, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "fernwerk-agent")
	if prepare != nil {
		if err := prepare(req); err != nil {
			return r, err
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
			return r, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot trust %s: %w", req.URL.Host, err),
				"%s", cmp.Or(fleet.HintOf(err), "compare the fingerprint of the server's CA certificate; if it is right, somebody answers in the server's place"))
		}
		return r, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "the server does not answer: %w", err), "check the address, and that fernwerkd runs")
	}
	defer resp.Body.Close()
	r.Status = resp.StatusCode
	if resp.TLS != nil {
		for _, c := range resp.TLS.PeerCertificates {
			r.Shown = append(r.Shown, pemOf(c)...)
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return r, fleet.Errorf(fleet.Unavailable, "the server's answer broke off: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(body, out); err != nil {
			return r, ErrNotOurs
		}
		return r, nil
	}
	var fault struct {
		Error struct{ Code, Message, Hint string }
	}
	if json.Unmarshal(body, &fault) != nil || fault.Error.Code == "" {
		return r, fmt.Errorf("%w: %s", ErrNotOurs, resp.Status)
	}
	err = fleet.Errorf(fleet.Code(fault.Error.Code), "%s", fault.Error.Message)
	if fault.Error.Hint != "" {
		err = fleet.WithHint(err, "%s", fault.Error.Hint)
	}
	return r, err
}
