package server

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/depot"
	"github.com/fernwerk/fernwerk/internal/server/depot/packages"
	"github.com/fernwerk/fernwerk/internal/server/health"
	"github.com/fernwerk/fernwerk/internal/server/home"
	"github.com/fernwerk/fernwerk/internal/server/httpapi"
	"github.com/fernwerk/fernwerk/internal/server/vouch"
)

// A depot server is this program with another server's rows: the same depot over
// a connection instead of a database, and the config server's word for who calls
// instead of accounts. It keeps, beside the depot,
//
//	DIR/host.key       its key, which `fernwerk depot create` made (0600)
//	DIR/identity.pem   its own key and certificate as a client of the config server
//	DIR/ca/ca.pem      the config server's authority, known by its fingerprint and
//	                   followed from root to root; package home
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
	key, err := home.Key(cmp.Or(s.cfg.HostKeyFile, s.path("host.key")), s.id)
	if err != nil {
		return err
	}
	trust, err := home.Pin(ctx, s.path("ca"), server, s.cfg.CAFingerprint, s.cfg.Log, s.cfg.Now)
	if err != nil {
		return err
	}
	// A root that was rotated meanwhile, before anything is asked under it.
	followed := trust.Follow(ctx)
	if followed != nil && fleet.CodeOf(followed) != fleet.Unavailable {
		return followed
	}
	identity, err := home.OpenIdentity(s.path("identity.pem"), s.id, key, trust, s.cfg.Log, s.cfg.Now)
	if err != nil {
		return err
	}
	if followed == nil { // else the config server is away, which is waited for once
		identity.Keep(ctx)
	}
	client, err := rpc.NewClient(rpc.Options{URL: server.String(), User: s.id, TLS: identity.TLS(), UserAgent: "fernwerkd/" + s.cfg.Version,
		Password: func(context.Context) (string, error) { return key, nil }})
	if err != nil {
		return err
	}
	ledger := depots.Ledger{Backend: client, DepotID: s.id, Patience: ledgerPatience}
	// Before the certificate: its names are those of the row.
	place := &home.Place{Client: client, ID: s.id, Reach: s.reach, URLs: s.urls()}
	if err := place.Tell(ctx); err != nil && fleet.CodeOf(err) != fleet.Unavailable {
		return err
	}
	certificate, err := ca.Issued(s.path("ca"), trust.PEM, s.id, s.cfg.Log, s.cfg.Now, func(ctx context.Context, request []byte) ([]byte, error) {
		signed, err := rpc.As[string](client.Call(ctx, methods.Actor{}, "depot_getCertificate", methods.Pos(s.id, string(request))))
		return []byte(signed), err
	})
	if err != nil {
		return err
	}
	trust.Changed = certificate.Renew // clients that know the new root only must find their way
	voucher := vouch.New("https://"+server.Host, trust.TLS(), s.cfg.Log, s.cfg.Now)
	products, err := depot.New(depot.Config{
		Dir: s.cfg.DepotFolder(), Cache: s.path("cache", "chunks"), Ledger: ledger, Log: s.cfg.Log, Now: s.cfg.Now, Actor: actor,
		Peer: depot.PeerAs(trust.PEM, identity.Certificate, func(context.Context) (user, password string, err error) { return s.id, key, nil }),
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
	s.group.Add("authority", trust)
	s.group.Add("identity", identity)
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
			Authority:    trust.PEM,
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

// urls are where the depot's folders are, by column.
func (s *Server) urls() map[string]any {
	return map[string]any{
		"depotLocalUrl": "file://" + s.path("depot"), "depotWebdavUrl": "webdavs://" + s.reach + "/depot",
		"repositoryLocalUrl": "file://" + s.path("repository"), "repositoryRemoteUrl": "webdavs://" + s.reach + "/repository",
		"workbenchLocalUrl": "file://" + s.path("workbench"), "workbenchRemoteUrl": "webdavs://" + s.reach + "/workbench",
	}
}
