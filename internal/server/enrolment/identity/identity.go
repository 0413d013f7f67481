// Package identity keeps which host has which certificate, and knows hosts by
// them.
//
// A host has one identity: its row of the fleet with the host key that opsi's
// protocol wants, and beside it one row here that says which key is certified. A
// certificate counts if this authority signed it, for a host, if it is neither
// over nor revoked, if the host is still there, and if its key is the one that
// was certified last or the one before: a host whose renewal got lost on the way
// still has the former. Each request is looked up: what is revoked has no more
// turn.
//
// A depot server has an identity as well, which its row of the fleet makes one: the
// certificate says nothing of it.
//
// The host key stays, for opsi's protocol and for depot servers, which know hosts
// by their config server's word only. Where a host has a certificate, its key
// alone opens nothing under /v1; and it can be closed altogether for a host.
//
// [Identities.Revoke] ends all of it in one transaction. Sessions and connections
// to the message bus hang on a proof of the host key, which is gone then.
package identity

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Row is the identity of one host.
type Row struct {
	HostID   string `col:"hostId,ident,lower,valid=host,owner=host.id"`
	KeyID    string `col:"keyId"`    // of the key that was certified last
	FormerID string `col:"formerId"` // and of the one before
	Serial   string `col:"serial"`
	Chain    string `col:"chain"`
	NotAfter int64  `col:"notAfter"` // Unix seconds
	NodeType string `col:"nodeType"`
	TypeSaid bool   `col:"typeSaid"` // by the machine itself: no token had it, and nobody approved it
	Policy   string `col:"policy"`
	Token    string `col:"token"`    // id of the token by which it joined
	Proof    string `col:"proof"`    // digest of what it proved itself with
	Joined   int64  `col:"joined"`   // Unix seconds
	Renewed  int64  `col:"renewed"`  // Unix seconds, of the last renewal
	Revoked  string `col:"revoked"`  // why; "" if it is not
	KeyOff   bool   `col:"keyOff"`   // the host key opens nothing
	UUID     string `col:"uuid"`     // of the machine that joined
	Hostname string `col:"hostname"` // and what it calls itself
}

// Key finds a host by the key that was certified.
type Key struct {
	KeyID  string `col:"keyId,ident"`
	HostID string `col:"hostId,lower,valid=host,owner=host.id"`
}

// The classes.
var (
	Rows = fleet.LocalClass[Row]("identity")
	Keys = fleet.LocalClass[Key]("identityKey")
)

// Classes are for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{Rows, Keys, restoredClass, certifiedHosts} }

// EndTopic wakes who keeps something open for hosts: an identity has ended.
const EndTopic = "identities"

// Authority is who signs certificates; see the package ca.
type Authority interface {
	Issue(tx *store.Tx, key crypto.PublicKey, g enrol.Grant) (enrol.Certificate, error)
	Revoke(tx *store.Tx, hostID, reason string) (int, error)
	Good(tx *store.Tx, serial string) error
	Adopt(tx *store.Tx, cert *x509.Certificate) error
	Read(cert *x509.Certificate) (enrol.Grant, error)
	Roots() []byte
	ClientCAs() *x509.CertPool
}

// Identities keeps the identities of a store that was opened with [Classes].
type Identities struct {
	store     *store.Store
	authority Authority
	now       func() time.Time
}

// New makes Identities.
func New(s *store.Store, a Authority, now func() time.Time) *Identities {
	return &Identities{store: s, authority: a, now: now}
}

// Get is a host's identity, the zero Row if it has none.
func Get(tx *store.Tx, hostID string) (Row, error) {
	r, err := tx.ByKey(Rows, hostID)
	if err != nil || r == nil {
		return Row{}, err
	}
	var row Row
	Rows.Decode(r, &row)
	return row, nil
}

// Owner is the host whose key this is or was, "" if it is nobody's.
func Owner(tx *store.Tx, keyID string) (string, error) {
	r, err := tx.ByKey(Keys, keyID)
	if err != nil || r == nil {
		return "", err
	}
	return r.Str("hostId"), nil
}

// Begin certifies the key of a host that joins. What it had before counts no
// more. row says who it is; its certificate is filled in.
func (i *Identities) Begin(tx *store.Tx, key crypto.PublicKey, row Row) (Row, error) {
	if owner, err := Owner(tx, row.KeyID); err != nil || owner != "" {
		if err == nil {
			err = fleet.Errorf(fleet.Conflict, "cannot certify the key for %s: it is the key of %s", row.HostID, owner)
		}
		return row, err
	}
	before, err := Get(tx, row.HostID)
	if err != nil {
		return row, err
	}
	if err := i.revokeAll(tx, row.HostID, "superseded"); err != nil {
		return row, err
	}
	row.Joined, row.KeyOff = tx.Now().Unix(), before.KeyOff
	return row, i.certify(tx, key, &row)
}

// renewGap is the least time between two renewals of a host. Who lost an answer
// comes again after longer.
const renewGap = 30 * time.Second

// RenewBy is Renew for who showed its certificate, or its host key, before; first
// has a word in the transaction, nil for none. Too soon after the last time it is
// Unavailable, which costs nothing: nobody fills the database with certificates.
func (i *Identities) RenewBy(ctx context.Context, key crypto.PublicKey, keyID string, h Holder, origin store.Origin, first func(tx *store.Tx) error) (row Row, err error) {
	soon := func(tx *store.Tx) error {
		row, err := Get(tx, h.HostID)
		if err != nil || row.KeyID == keyID || row.Renewed == 0 {
			return err
		}
		if gap := tx.Now().Sub(time.Unix(row.Renewed, 0)); gap >= 0 && gap < renewGap {
			return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot certify another key of %s: it got a certificate a moment ago", h.HostID), "ask again in half a minute")
		}
		return nil
	}
	if err := i.store.View(ctx, soon); err != nil {
		return row, err
	}
	err = i.store.Update(ctx, origin, func(tx *store.Tx) error {
		if err := soon(tx); err != nil {
			return err
		}
		if first != nil {
			if err := first(tx); err != nil {
				return err
			}
		}
		row, err = i.Renew(tx, key, keyID, h.HostID, h.KeyID)
		return err
	})
	return row, err
}

// Renew certifies another key of a host, which holds the key held, "" for none.
// That one's certificate counts until it ends, so that an answer that gets lost
// costs nothing; what was certified in between and never used counts no more.
func (i *Identities) Renew(tx *store.Tx, key crypto.PublicKey, keyID, hostID, held string) (Row, error) {
	row, err := Get(tx, hostID)
	if err != nil {
		return row, err
	}
	// The caller looked at its certificate before this transaction: meanwhile the
	// host may have joined again, been deleted, or both.
	if held != "" && (row.HostID == "" || held != row.KeyID && held != row.FormerID) {
		return row, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot go on as %s: its key is not the host's any more", hostID), "it joined again elsewhere, or was deleted: fernwerk-agent join --again TOKEN")
	}
	if row.HostID == "" { // it has none yet: it joined before there were certificates
		host, err := tx.ByKey(fleet.Hosts, hostID)
		if err != nil {
			return row, err
		}
		if host == nil {
			return row, fleet.Errorf(fleet.Denied, "cannot certify %s: there is no such host", hostID)
		}
		if host.Str("type") == fleet.OpsiConfigserver {
			return row, fleet.Errorf(fleet.Denied, "cannot certify %s: it is the config server", hostID)
		}
		row = Row{HostID: hostID, Policy: string(enrol.PlainOpsi), Joined: tx.Now().Unix()}
	}
	if row.Revoked != "" {
		return row, revoked(hostID)
	}
	if row.KeyID == keyID { // the answer got lost
		return row, nil
	}
	owner, err := Owner(tx, keyID)
	if err != nil {
		return row, err
	}
	if owner != "" {
		return row, fleet.Errorf(fleet.Conflict, "cannot certify the key for %s: it was used before", hostID)
	}
	row.FormerID, row.KeyID, row.Renewed = held, keyID, tx.Now().Unix()
	return row, i.certify(tx, key, &row)
}

func (i *Identities) certify(tx *store.Tx, key crypto.PublicKey, row *Row) error {
	cert, err := i.authority.Issue(tx, key, enrol.Grant{Purpose: enrol.Host, HostID: row.HostID, NodeType: row.NodeType})
	if err != nil {
		return err
	}
	row.Serial, row.Chain, row.NotAfter = cert.Serial, string(cert.Chain), cert.NotAfter.Unix()
	if err := tx.Put(Keys, Keys.Encode(Key{KeyID: row.KeyID, HostID: row.HostID})); err != nil {
		return err
	}
	if err := tx.Put(certifiedHosts, certifiedHosts.Encode(certified{row.HostID})); err != nil {
		return err
	}
	return tx.Put(Rows, Rows.Encode(*row))
}

// Revoke ends everything by which a host is known: its certificates, its host
// key, its one-time password, and with them its sessions and connections.
func (i *Identities) Revoke(tx *store.Tx, hostID, reason string) error {
	host, err := tx.Get(fleet.Hosts, fleet.Row{"id": hostID})
	if err != nil {
		return fleet.WithHint(err, "see: fernwerk host list")
	}
	if host.Str("type") != fleet.OpsiClient {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot revoke %s: it is a server", hostID), "a depot server ends with: fernwerk depot delete %s", hostID)
	}
	if reason == "" {
		reason = "revoked"
	}
	if err := i.revokeAll(tx, hostID, reason); err != nil {
		return err
	}
	row, err := Get(tx, hostID)
	if err != nil {
		return err
	}
	row.HostID, row.Revoked = hostID, reason
	if err := tx.Put(Rows, Rows.Encode(row)); err != nil {
		return err
	}
	if err := tx.Patch(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": hostID, "opsiHostKey": nil, "oneTimePassword": nil}); err != nil {
		return err
	}
	tx.Wake(EndTopic)
	return tx.Note(fleet.Hosts.Name, hostID, "revoke", fleet.Row{"notes": reason})
}

// KeyLogins opens or closes the host key of a host that has a certificate.
func (i *Identities) KeyLogins(tx *store.Tx, hostID string, open bool) error {
	row, err := Get(tx, hostID)
	if err != nil {
		return err
	}
	if row.Serial == "" && !open {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot close the host key of %s: it has no certificate", hostID), "it would be locked out; it gets a certificate when its agent joins")
	}
	if row.HostID == "" {
		return nil
	}
	row.KeyOff = !open
	if err := tx.Put(Rows, Rows.Encode(row)); err != nil {
		return err
	}
	return tx.Note(fleet.Hosts.Name, hostID, "keyLogins", fleet.Row{"notes": map[bool]string{true: "on", false: "off"}[open]})
}

// renewAt is the part of its life after which a certificate is to be renewed.
const renewAt = 2.0 / 3

// Due tells whether a host's certificate is to be renewed: because it has none,
// or another than the last, or a third of its life is left.
func (i *Identities) Due(tx *store.Tx, hostID, held string) (bool, error) {
	row, err := Get(tx, hostID)
	if err != nil || row.Revoked != "" {
		return false, err
	}
	if row.Serial == "" || row.Serial != held {
		return true, nil
	}
	begun, ends := time.Unix(max(row.Joined, row.Renewed), 0), time.Unix(row.NotAfter, 0)
	return tx.Now().Sub(begun) >= time.Duration(renewAt*float64(ends.Sub(begun))), nil
}

func revoked(hostID string) error {
	return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot go on as %s: its identity was revoked", hostID), "if that was a mistake, the machine joins again with a new token: fernwerk-agent join --again TOKEN")
}
