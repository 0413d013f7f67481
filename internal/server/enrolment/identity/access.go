package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Holder is who showed a certificate, and with which key.
type Holder struct {
	HostID string
	KeyID  string
	Role   methods.Role // methods.Host, or methods.Depot of a depot server
}

var (
	errForeign = errors.New("the certificate is not one of ours")
	errOver    = errors.New("the certificate is over")
)

// Verify says whose certificates a request shows; certs are what TLS has, which
// proved that the caller holds the first one's key. One that is over counts where
// it is to be renewed: a machine may have been asleep for a year.
func (i *Identities) Verify(ctx context.Context, certs []*x509.Certificate, over bool) (Holder, error) {
	if len(certs) == 0 {
		return Holder{}, errForeign
	}
	leaf, at := certs[0], i.now()
	if at.After(leaf.NotAfter) {
		if !over {
			if _, err := i.verify(ctx, certs, leaf.NotAfter.Add(-time.Second)); err != nil {
				return Holder{}, err
			}
			return Holder{}, errOver
		}
		at = leaf.NotAfter.Add(-time.Second)
	}
	return i.verify(ctx, certs, at)
}

func (i *Identities) verify(ctx context.Context, certs []*x509.Certificate, at time.Time) (h Holder, err error) {
	leaf := certs[0]
	// By our issuing keys alone, at each request: a caller's further certificates are
	// nothing to search a way through.
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: i.authority.ClientCAs(), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return h, errForeign
	}
	grant, err := i.authority.Read(leaf)
	if err != nil || grant.Purpose != enrol.Host {
		return h, fleet.Errorf(fleet.Denied, "cannot let the certificate in: it is not one of a host")
	}
	if h.KeyID, err = enrol.KeyID(leaf.PublicKey); err != nil {
		return h, fleet.Errorf(fleet.Denied, "cannot let the certificate in: %w", err)
	}
	h.HostID = grant.HostID
	err = i.known(ctx, &h, leaf)
	if fleet.CodeOf(err) == fleet.Denied && i.adopt(ctx, h, certs) == nil {
		err = i.store.Look(ctx, h.roleOf)
	}
	return h, err
}

// roleOf sets what the holder is: its row of the fleet says so, no certificate does.
func (h *Holder) roleOf(tx *store.Tx) error {
	host, err := tx.ByKey(fleet.Hosts, h.HostID)
	if err != nil {
		return err
	}
	h.Role = ""
	switch host.Str("type") {
	case fleet.OpsiClient:
		h.Role = methods.Host
	case fleet.OpsiDepotserver:
		h.Role = methods.Depot
	default:
		return fleet.Errorf(fleet.Denied, "cannot let the certificate in: %s is no host and no depot server", h.HostID)
	}
	return nil
}

// known tells whether a certificate of ours counts, by our rows.
func (i *Identities) known(ctx context.Context, h *Holder, leaf *x509.Certificate) error {
	var row Row
	err := i.store.Look(ctx, func(tx *store.Tx) (err error) { row, err = Get(tx, h.HostID); return err })
	switch {
	case err != nil:
		return err
	case row.HostID == "":
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot go on as %s: there is no such host with a certificate", h.HostID), "it was deleted or renamed: join again with a new token: fernwerk-agent join --again TOKEN")
	case row.Revoked != "":
		return revoked(h.HostID)
	case h.KeyID != row.KeyID && h.KeyID != row.FormerID:
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot go on as %s: the host has another key by now", h.HostID), "it joined again elsewhere, or this is an old copy of it: fernwerk-agent join --again TOKEN")
	}
	if err := i.store.Look(ctx, h.roleOf); err != nil {
		return err
	}
	return i.store.Look(ctx, func(tx *store.Tx) error { return i.authority.Good(tx, serial(leaf)) })
}

// Authenticate knows hosts by their certificate, everybody else and everything
// else by next. noted is told of a host that came.
func (i *Identities) Authenticate(next func(http.ResponseWriter, *http.Request) (methods.Actor, error), noted func(methods.Actor)) func(http.ResponseWriter, *http.Request) (methods.Actor, error) {
	return func(w http.ResponseWriter, r *http.Request) (methods.Actor, error) {
		var shown error
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			h, err := i.Verify(r.Context(), r.TLS.PeerCertificates, false)
			if err == nil {
				actor := methods.Actor{Role: h.Role, ID: h.HostID, Address: address(r)}
				if h.Role == methods.Host {
					noted(actor)
				}
				return actor, nil
			}
			// A browser shows what it has, and a certificate that is over is as good as
			// none; but one of ours that was taken back is nobody's key to another door.
			if !errors.Is(err, errForeign) && !errors.Is(err, errOver) {
				return methods.Actor{}, err
			}
			shown = err
		}
		actor, err := next(w, r)
		if err != nil || actor.Role != methods.Host && actor.Role != methods.Depot {
			return actor, err
		}
		return actor, i.keyOpens(r, actor, shown)
	}
}

// keyOpens refuses a host key where it does not count. That of a depot server counts
// until it is switched off: other depot servers know it by nothing else.
func (i *Identities) keyOpens(r *http.Request, actor methods.Actor, shown error) error {
	var row Row
	hostID := actor.ID
	err := i.store.Look(r.Context(), func(tx *store.Tx) (err error) { row, err = Get(tx, hostID); return err })
	switch {
	case err != nil || row.Serial == "":
		return err
	case row.KeyOff:
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot let %s in: its host key is switched off", hostID), "it shows its certificate; or switch it on: fernwerk host key-logins %s on", hostID)
	case actor.Role == methods.Host && strings.HasPrefix(r.URL.Path, "/v1/"):
		if errors.Is(shown, errOver) {
			return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot let %s in: its certificate is over", hostID), "its agent renews it by itself at its next contact")
		}
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot let %s in by its host key: it has a certificate", hostID), "the machine that has it shows it; if it was lost, join again: fernwerk-agent join --again TOKEN")
	}
	return nil
}

// Holds says whose certificate a request shows, also one that is over; ok is false
// if it shows none of ours.
func (i *Identities) Holds(r *http.Request) (h Holder, ok bool, err error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return h, false, nil
	}
	h, err = i.Verify(r.Context(), r.TLS.PeerCertificates, true)
	if errors.Is(err, errForeign) {
		return h, false, nil
	}
	return h, err == nil, err
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
