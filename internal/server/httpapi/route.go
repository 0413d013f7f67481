package httpapi

import (
	"net/http"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
)

// access says who may use a route. The zero value is no access: a route without
// an entry does not start.
type access string

const (
	public         access = "public"         // anybody
	known          access = "known"          // whoever logs in; the part narrows it further
	watchers       access = "watchers"       // people who may look at everything
	administrators access = "administrators" // people who may do everything
)

func (a access) allows(r methods.Role) bool {
	switch a {
	case public, known:
		return true
	case watchers:
		return r == methods.Administrator || r == methods.Reader
	}
	return a == administrators && r == methods.Administrator
}

// route is one row of the table.
type route struct {
	pattern string // of http.ServeMux
	access  access
	body    int64 // bytes that a request may carry; unlimited is for parts with a limit of their own
	handler http.Handler
	// refuses: the handler answers those who did not log in, in its own format.
	refuses bool
	// token: who bears the server's token needs no login.
	token bool
}

const (
	none      = 0
	unlimited = -1
	maxRPC    = 64 << 20
	maxChunks = 16 << 20 // names at most all chunks of a product
	maxFind   = 64 << 10 // a PROPFIND
	maxJoin   = 32 << 10 // of strangers
	maxTold   = 1 << 20  // a contact, with documents
)

// routes is everything that the server answers. A part that is not there has
// no handler, and its paths are not found.
func (s *Server) routes() []route {
	p := s.Parts
	return []route{
		{pattern: "/rpc", access: known, body: maxRPC, handler: p.RPC, refuses: true},
		{pattern: "/rpc/", access: known, body: maxRPC, handler: p.RPC, refuses: true},
		{pattern: "GET /ssl/ca-certs.pem", access: public, body: none, handler: s.authority()},
		{pattern: "GET /ssl/opsi-ca-cert.pem", access: public, body: none, handler: s.authority()},
		{pattern: "/session/logout", access: public, body: none, handler: s.logout()},
		{pattern: "GET /healthz", access: public, body: none, handler: s.health()},
		{pattern: "GET /metrics", access: watchers, body: none, handler: p.Metrics, token: true},
		{pattern: "/v1/depot/", access: known, body: maxChunks, handler: p.Chunks},
		{pattern: "GET /v1/packages", access: known, body: none, handler: p.Packages},
		{pattern: "/v1/packages/", access: administrators, body: unlimited, handler: p.Packages},
		{pattern: "GET /v1/updates", access: known, body: none, handler: p.Updates},
		{pattern: "GET /v1/trust/", access: known, body: none, handler: p.Trust},
		{pattern: "POST /v1/join", access: public, body: maxJoin, handler: p.Join.handler()},
		{pattern: "POST /v1/renew", access: public, body: maxJoin, handler: p.Renew.handler()}, // a certificate that is over counts
		{pattern: "POST /v1/gen_certif", access: public, body: maxJoin, handler: p.BareNodes},
		{pattern: "POST /v1/tunnel/{name}", access: known, body: maxJoin, handler: p.Tunnel.handler()},
		{pattern: "POST /v1/mesh", access: known, body: maxJoin, handler: p.Mesh.handler()},
		{pattern: "POST /v1/files", access: known, body: maxTold, handler: p.Files.handler()},
		{pattern: "POST /v1/files/blob", access: known, body: maxJoin, handler: p.FileBlob.handler()},
		{pattern: "POST " + lan.Path, access: known, body: lan.MaxReport + 1, handler: p.LAN.handler()},
		{pattern: "POST /v1/contact", access: known, body: maxTold, handler: p.Contact.handler()},
		{pattern: "GET /v1/crl", access: public, body: none, handler: p.Revocations},
		{pattern: "GET /messagebus/v1", access: known, body: none, handler: p.Bus},
		{pattern: "GET /feed/", access: public, body: none, handler: p.Feed},
		{pattern: "/depot", access: administrators, body: maxFind, handler: p.WebDAV}, // refuses to write; a host is told that it may not
		{pattern: "/depot/", access: administrators, body: maxFind, handler: p.WebDAV},
		{pattern: "GET /depot", access: known, body: none, handler: p.WebDAV},
		{pattern: "GET /depot/", access: known, body: none, handler: p.WebDAV},
		{pattern: "OPTIONS /depot", access: known, body: none, handler: p.WebDAV},
		{pattern: "OPTIONS /depot/", access: known, body: none, handler: p.WebDAV},
		{pattern: "PROPFIND /depot", access: known, body: maxFind, handler: p.WebDAV},
		{pattern: "PROPFIND /depot/", access: known, body: maxFind, handler: p.WebDAV},
		{pattern: "/repository", access: administrators, body: unlimited, handler: p.Repository},
		{pattern: "/repository/", access: administrators, body: unlimited, handler: p.Repository},
		{pattern: "/workbench", access: administrators, body: unlimited, handler: p.Workbench},
		{pattern: "/workbench/", access: administrators, body: unlimited, handler: p.Workbench},
		{pattern: "/", access: public, body: none, handler: http.HandlerFunc(notFound)},
	}
}
