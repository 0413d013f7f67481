package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/depot"
	"github.com/fernwerk/fernwerk/internal/server/depot/packages"
	"github.com/fernwerk/fernwerk/internal/server/health"
	"github.com/fernwerk/fernwerk/internal/server/httpapi"
	"github.com/fernwerk/fernwerk/internal/server/vouch"
)

// A depot server is this program with another server's rows: the same depot over
// a connection instead of a database, and the config server's word for who calls
// instead of accounts. It keeps, beside the depot,
//
//	DIR/host.key       its key, which `fernwerk depot create` made (0600)
//	DIR/ca/ca.pem      the config server's authority, known by its fingerprint
//	DIR/ca/server.pem  its own key and the certificate that the authority signed
//
// It starts without the config server once it has a certificate, and waits for it
// then: who calls, and what is installed here, is known there only.

// ledgerPatience is for one question to the config server; a commit of many
// properties takes a second.
const ledgerPatience = time.Minute

// openBranch opens the server as a depot server; its folder and port are taken.
func (s *Server) openBranch(ctx context.Context, listener net.Listener) error {
	s.id = s.cfg.ID
	server, err := url.Parse(s.cfg.ConfigServer)
	if err != nil {
		return err
	}
	if server.Port() == "" {
		server.Host += ":4447"
	}
	key, err := s.hostKey()
	if err != nil {
		return err
	}
	authority, err := s.authority(ctx, server)
	if err != nil {
		return err
	}
	trust, err := pin.Config(server.Hostname(), authority, s.cfg.CAFingerprint)
	if err != nil {
		return err
	}
	client, err := rpc.NewClient(rpc.Options{URL: server.String(), User: s.id, TLS: trust, UserAgent: "fernwerkd/" + s.cfg.Version,
		Password: func(context.Context) (string, error) { return key, nil }})
	if err != nil {
		return err
	}
	ledger := depots.Ledger{Backend: client, DepotID: s.id, Patience: ledgerPatience}
	// Before the certificate: its names are those of the row.
	place := &place{Server: s, client: client}
	if err := place.tell(ctx); err != nil && fleet.CodeOf(err) != fleet.Unavailable {
		return err
	}
	certificate, err := ca.Issued(s.path("ca"), authority, s.id, s.cfg.Log, s.cfg.Now, func(ctx context.Context, request []byte) ([]byte, error) {
		signed, err := rpc.As[string](client.Call(ctx, methods.Actor{}, "depot_getCertificate", methods.Pos(s.id, string(request))))
		return []byte(signed), err
	})
	if err != nil {
		return err
	}
	voucher := vouch.New("https://"+server.Host, trust, s.cfg.Log, s.cfg.Now)
	products, err := depot.New(depot.Config{
		Dir: s.cfg.DepotFolder(), Cache: s.path("cache", "chunks"), Ledger: ledger, Log: s.cfg.Log, Now: s.cfg.Now, Actor: actor,
		Peer: peer(func() []byte { return authority }, func(context.Context) (user, password string, err error) { return s.id, key, nil }),
	})
	if err != nil {
		return err
	}
	files, err := s.packageFolders(products)
	if err != nil {
		return err
	}
	answers := &branchBackend{server: server.Host, Backend: methods.Part(methods.Ports{Depot: files,
		Info: map[string]any{"opsiVersion": "4.3", "version": s.cfg.Version, "program": "fernwerkd", "configServer": "https://" + server.Host}},
		catalog.Table(), atDepot)}
	health.Tidy(s.cfg.Data)
	well := health.New(s.cfg.Log, health.Probe{Name: "depot", Try: products.Healthy}, health.Folder("data folder", s.cfg.Data))
	s.group.Log = s.cfg.Log
	s.group.Add("certificate", certificate)
	s.group.Add("place", place)
	s.group.Add("depot", products)
	s.group.Add("http", &httpapi.Server{
		Version: s.cfg.Version, Listener: listener, TLS: certificate.TLS(), Log: s.cfg.Log, Now: s.cfg.Now,
		Parts: httpapi.Parts{
			RPC:          &rpc.Handler{Backend: answers, Authenticate: httpapi.Actor, Log: s.cfg.Log},
			Chunks:       products.Chunks(),
			Packages:     packages.Handler(products),
			WebDAV:       products.WebDAV(),
			Repository:   files.PackagesDAV,
			Workbench:    files.WorkbenchDAV,
			Authority:    func() []byte { return authority },
			Authenticate: voucher.Authenticate,
			Logout:       voucher.Logout,
			Health:       func(ctx context.Context) (any, error) { return well.Check(ctx) },
			Stopping:     well.Stopping,
		},
	})
	s.cfg.Log.Info("Depot server opened", "id", s.id, "address", s.URL(), "config server", server.Host, "data", s.cfg.Data)
	return nil
}

// atDepot are the methods that a depot server answers.
func atDepot(m *methods.Method) bool {
	switch m.Name {
	case "depot_acquireTransferSlot", "depot_releaseTransferSlot", "depot_getCertificate":
		return false // rows of the config server
	case "backend_getInterface", "backend_info", "backend_exit", "accessControl_authenticated", "accessControl_userIsAdmin", "accessControl_getCaller":
		return true
	}
	return strings.HasPrefix(m.Name, "depot_")
}

// branchBackend says where all other methods are.
type branchBackend struct {
	methods.Backend
	server string
}

func (b *branchBackend) Call(ctx context.Context, actor methods.Actor, method string, p methods.Params) (any, error) {
	v, err := b.Backend.Call(ctx, actor, method, p)
	if fleet.CodeOf(err) == fleet.NotFound && strings.Contains(err.Error(), "no such method") {
		err = fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %q: this is a depot server, it answers for its own folder only", method),
			"ask the config server https://%s/rpc", b.server)
	}
	return v, err
}

var hostKeyForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// hostKey reads the key by which the config server knows us.
func (s *Server) hostKey() (string, error) {
	path := s.cfg.HostKeyFile
	if path == "" {
		path = s.path("host.key")
	}
	hint := fmt.Sprintf("make one at the config server with: fernwerk depot create %s; it belongs into %s, mode 0600", s.id, path)
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others than its owner may read %s", path)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	key := strings.TrimSpace(string(data))
	if err == nil && !hostKeyForm.MatchString(key) {
		err = fmt.Errorf("%s holds no host key: 32 hexadecimal digits", path)
	}
	if err != nil {
		return "", fleet.WithHint(fmt.Errorf("cannot read the host key of the depot server: %w", err), "%s", hint)
	}
	return key, nil
}

// authority is the config server's authority: what was kept of it, or what that
// server shows, if it has the fingerprint.
func (s *Server) authority(ctx context.Context, server *url.URL) ([]byte, error) {
	path := s.path("ca", "ca.pem")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = s.fetchAuthority(ctx, server); err == nil {
			if err = os.MkdirAll(s.path("ca"), 0o700); err == nil {
				err = atomicfile.WriteFile(path, data, 0o644)
			}
		}
	}
	if err == nil {
		_, err = pin.Config(server.Hostname(), data, s.cfg.CAFingerprint) // the fingerprint may have been changed since
		err = fleet.WithHint(err, "if the config server has a new authority, delete %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot trust the config server %s: %w", server.Host, err)
	}
	return data, nil
}

func (s *Server) fetchAuthority(ctx context.Context, server *url.URL) ([]byte, error) {
	trust, err := pin.Config(server.Hostname(), nil, s.cfg.CAFingerprint)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: trust, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+server.Host+"/ssl/ca-certs.pem", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "%w", err), "the first start needs the config server; compare config_server and ca_fingerprint with what fernwerk depot create printed")
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, err
	}
	certs, err := pin.Certificates(data)
	if err != nil {
		return nil, err
	}
	want := strings.ToLower(strings.ReplaceAll(s.cfg.CAFingerprint, ":", ""))
	for _, c := range certs { // of several only the pinned one counts
		if sum := sha256.Sum256(c.Raw); strings.HasSuffix(want, hex.EncodeToString(sum[:])) {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), nil
		}
	}
	return nil, errors.New("it does not show the authority with that fingerprint")
}

// place keeps the depot's row at the config server right about where it is.
type place struct {
	*Server
	client *rpc.Client
	told   bool
}

// tell writes what differs; it needs the row that `fernwerk depot create` makes.
func (p *place) tell(ctx context.Context) error {
	v, err := p.client.Call(ctx, methods.Actor{}, "host_getObjects", methods.Params{Named: map[string]any{"id": p.id}})
	if err != nil {
		return err
	}
	rows, err := rpc.Rows(v)
	if err != nil {
		return err
	}
	if len(rows) != 1 || rows[0]["type"] != fleet.OpsiDepotserver {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "the config server knows no depot server %s", p.id), "run there: fernwerk depot create %s", p.id)
	}
	want := p.urls()
	change := fleet.Row{"type": fleet.OpsiDepotserver, "id": p.id}
	for name, v := range want {
		if rows[0][name] != v {
			change[name] = v
		}
	}
	if rows[0].Str("depotRemoteUrl") == "" { // of the file server beside us, which may as well be another machine
		host, _, _ := net.SplitHostPort(p.reach)
		change["depotRemoteUrl"] = "smb://" + host + "/opsi_depot"
	}
	if len(change) > 2 {
		if _, err := p.client.Call(ctx, methods.Actor{}, "host_updateObjects", methods.Pos([]fleet.Row{change})); err != nil {
			return err
		}
	}
	p.told = true
	return nil
}

// urls are where the depot's folders are, by column.
func (s *Server) urls() map[string]any {
	return map[string]any{
		"depotLocalUrl": "file://" + s.path("depot"), "depotWebdavUrl": "webdavs://" + s.reach + "/depot",
		"repositoryLocalUrl": "file://" + s.path("repository"), "repositoryRemoteUrl": "webdavs://" + s.reach + "/repository",
		"workbenchLocalUrl": "file://" + s.path("workbench"), "workbenchRemoteUrl": "webdavs://" + s.reach + "/workbench",
	}
}

// Serve tells it when the config server was away at the start.
func (p *place) Serve(ctx context.Context) error {
	if !p.told {
		err := retry.Do(ctx, retry.Policy{}, p.tell)
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// peer makes the way to the trees of other depots, as this server.
func peer(authority func() []byte, self func(context.Context) (user, password string, err error)) depot.Peer {
	return func(_ context.Context, other fleet.Host, product string) (*transfer.HTTP, error) {
		u, err := url.Parse(other.DepotWebdavURL)
		if err != nil || u.Hostname() == "" {
			return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "nobody knows where depot %s is", other.ID), "set its depotWebdavUrl")
		}
		trust, err := pin.Config(u.Hostname(), authority(), "")
		if err != nil {
			return nil, err
		}
		transport := &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: trust, TLSHandshakeTimeout: 15 * time.Second,
			ResponseHeaderTimeout: 5 * time.Minute, IdleConnTimeout: 10 * time.Second, DisableCompression: true}
		return &transfer.HTTP{Base: "https://" + u.Host, Product: product,
			Client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
			Prepare: func(r *http.Request) error {
				user, password, err := self(r.Context())
				r.SetBasicAuth(user, password)
				return err
			}}, nil
	}
}
