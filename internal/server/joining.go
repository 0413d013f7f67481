package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/access"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/contact"
	"github.com/fernwerk/fernwerk/internal/server/enrolment"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/httpapi"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

// joining is how machines join, what they are known by, and what they check in
// with: three parts that the method table sees as one.
type joining struct {
	*enrolment.Enrolment
	*identity.Identities
	*contact.Contacts
	authority *ca.Authority
	accounts  *access.Access
	store     *store.Store
}

// KeepIdentity is [contact.Contacts.Keep].
func (j *joining) KeepIdentity(tx *store.Tx, hostID string) error { return j.Keep(tx, hostID) }

// letJoin makes these parts.
func (s *Server) letJoin(st *store.Store, authority *ca.Authority, accounts *access.Access, signed *trust.Trust) *joining {
	identities := identity.New(st, authority, s.cfg.Now)
	e := s.cfg.Enrolment
	if e.FirstBoot == enrolment.Open {
		s.cfg.Log.Warn("Everybody who reaches this server becomes a host: first_boot is open")
	}
	return &joining{
		Identities: identities, authority: authority, accounts: accounts, store: st,
		Enrolment: enrolment.New(enrolment.Config{
			Store: st, Identities: identities, Roots: authority.Roots, Addresses: s.addresses, Fingerprint: authority.Fingerprint,
			Root: signed.Pin, Charge: accounts.Charge, Forgive: accounts.Forgive, Fresh: contact.Fresh,
			Names: e.Names(), Domain: e.DomainOf(s.id), Approve: e.Approve, FirstBoot: e.FirstBoot, Log: s.cfg.Log,
		}),
		Contacts: contact.New(contact.Config{
			Store: st, Roots: authority.Roots, CRL: authority.CRL, Known: authority.Signed, Take: func(tx *store.Tx, der []byte) error { return takeList(tx, authority, identities, der) }, Due: identities.Due, Log: s.cfg.Log,
			Lacks: signed.Lacks, TakeDocument: signed.StepOver,
		}),
	}
}

// takeList takes a list of revocations of a host, and ends the identities that it
// names.
func takeList(tx *store.Tx, authority *ca.Authority, identities *identity.Identities, der []byte) error {
	fresh, err := authority.TakeList(tx, der)
	if err != nil || fresh == 0 {
		return err // mostly: it is one of ours, and looking at the whole fleet is much
	}
	return identities.RevokeListed(tx)
}

// mostAddresses is what a token has room for.
const mostAddresses = 4

// addresses are where a token says that the server is.
func (s *Server) addresses() (all []string) {
	host, port, _ := net.SplitHostPort(s.reach)
	for _, name := range append([]string{host}, s.cfg.Names...) {
		if at := net.JoinHostPort(strings.ToLower(name), port); enrol.ValidAddress(at) == nil && len(all) < mostAddresses {
			all = append(all, at)
		}
	}
	return all
}

// asksForCertificates is a listener's TLS that takes a client's certificate where
// it has one. Whether it counts is decided for each request; nobody is turned
// away at the door for one that is over, or foreign.
func (j *joining) asksForCertificates(cfg *tls.Config) *tls.Config {
	cfg.ClientAuth = tls.RequestClientCert
	base := cfg.Clone()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := base.Clone()
		now.ClientCAs = j.authority.ClientCAs() // changes with a rotation; browsers offer no others
		return now, nil
	}
	return cfg
}

// parts are what httpapi serves of it.
func (j *joining) parts(p *httpapi.Parts) {
	p.Authenticate = j.Authenticate(j.accounts.Authenticate, j.accounts.Noted)
	front := enrolment.HTTP{Enrolment: j.Enrolment, ByKey: j.accounts.Authenticate}
	p.Join, p.Renew, p.Contact = front.Join, front.Renew, j.contact
	p.BareNodes = j.bareNodes()
	p.Revocations = http.HandlerFunc(j.revocations)
}

// host is the host whose certificate a request shows.
func (j *joining) host(r *http.Request) (string, error) {
	if r.TLS == nil {
		return "", fleet.Errorf(fleet.Denied, "a host shows its certificate here, and none was shown")
	}
	holder, err := j.Verify(r.Context(), r.TLS.PeerCertificates, false)
	if err != nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Denied, "a host shows its certificate here: %w", err), "a host asks with its own certificate: it joins by a token")
	}
	if holder.Role != methods.Host {
		return "", fleet.Errorf(fleet.Denied, "a host shows its certificate here: %s is none", holder.HostID)
	}
	return holder.HostID, nil
}

// contact answers POST /v1/contact.
func (j *joining) contact(w http.ResponseWriter, r *http.Request) (any, int, error) {
	actor, err := httpapi.Actor(r)
	if err != nil {
		return nil, 0, err
	}
	if actor.Role != methods.Host {
		return nil, 0, fleet.Errorf(fleet.Denied, "cannot take the contact of %s %s: it is no host", actor.Role, actor.ID)
	}
	var c enrol.Contact
	if err := enrolment.Body(r, &c); err != nil {
		return nil, 0, err
	}
	out, err := j.Contact(r.Context(), actor.ID, c, store.Origin{Actor: "host " + actor.ID, Address: actor.Address, Request: actor.Request})
	return out, http.StatusOK, err
}

// revocations answers GET /v1/crl.
func (j *joining) revocations(w http.ResponseWriter, r *http.Request) {
	var der []byte
	err := j.store.View(r.Context(), func(tx *store.Tx) (err error) { der, _, err = j.authority.CRL(tx); return err })
	if err != nil {
		http.Error(w, "there is no list of revocations", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-crl")
	w.Write(der)
}
