package server

import (
	"net/http"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
)

// tunnels gives hosts the credentials of the tunnels that are configured.
func (j *joining) tunnels(all []config.Tunnel) *tunnel.Tunnels {
	t := &tunnel.Tunnels{Store: j.store, Now: time.Now, Roots: j.authority.Roots, Seal: j.seal, Host: func(r *http.Request) (string, error) {
		if r.TLS == nil {
			return "", fleet.Errorf(fleet.Denied, "cannot give credentials of a tunnel to who shows no certificate")
		}
		holder, err := j.Verify(r.Context(), r.TLS.PeerCertificates, false)
		if err != nil {
			return "", fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot give credentials of a tunnel: %w", err), "a host asks with its own certificate: it joins by a token")
		}
		return holder.HostID, nil
	}}
	for _, one := range all {
		t.All = append(t.All, one.Settings())
	}
	t.Certify = func(tx *store.Tx, csr []byte, hostID, name string) (enrol.Certificate, error) {
		key, keyID, err := enrol.ParseRequest(csr)
		if err != nil {
			return enrol.Certificate{}, err
		}
		row, err := identity.Get(tx, hostID)
		if err != nil {
			return enrol.Certificate{}, err
		}
		if row.HostID == "" || row.Revoked != "" { // since the certificate was looked at
			return enrol.Certificate{}, fleet.Errorf(fleet.Denied, "cannot certify a key for tunnel %s: %s is no host any more", name, hostID)
		}
		if keyID == row.KeyID || keyID == row.FormerID {
			return enrol.Certificate{}, fleet.Errorf(fleet.Invalid, "cannot certify the key for tunnel %s: it is the machine's own", name)
		}
		return j.authority.Issue(tx, key, enrol.Grant{Purpose: enrol.Tunnel, HostID: hostID, NodeType: row.NodeType, Tunnel: name})
	}
	return t
}
