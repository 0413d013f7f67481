package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// issued is a certificate of a host, under its serial. Times are Unix seconds.
type issued struct {
	Serial    string `col:"serial,ident"` // hexadecimal, see [Serial]
	Purpose   string `col:"purpose"`
	HostID    string `col:"hostId"`
	NodeType  string `col:"nodeType"`
	Tunnel    string `col:"tunnel"`
	NotBefore int64  `col:"notBefore"`
	NotAfter  int64  `col:"notAfter"`
	Good      bool   `col:"good"`
	Revoked   int64  `col:"revoked"` // when, unless it is good
	Reason    string `col:"reason"`
	Key       string `col:"publicKey"` // SHA-256 of the public key
	Digest    string `col:"digest"`    // SHA-256 of what is signed: without the signature
}

// certified is a public key that has, or had, a certificate: it is one host's
// for ever, and nobody's once it was revoked.
type certified struct {
	Key     string `col:"publicKey,ident"`
	HostID  string `col:"hostId"`
	Revoked bool   `col:"revoked"`
}

var (
	issuedClass    = fleet.LocalClass[issued]("certificate")
	certifiedClass = fleet.LocalClass[certified]("certifiedKey")
)

// Classes are the classes of the authority: bookkeeping of the servers.
func Classes() []*fleet.Class {
	return []*fleet.Class{issuedClass, certifiedClass, listClass, numberClass}
}

// get is the row with an identity; found says whether there is one.
func get[T any](tx *store.Tx, c *fleet.Class, ident fleet.Row) (v T, found bool, err error) {
	row, err := tx.Get(c, ident)
	if fleet.CodeOf(err) == fleet.NotFound {
		return v, false, nil
	}
	if err == nil {
		c.Decode(row, &v)
	}
	return v, err == nil, err
}

// Serial is the serial of a certificate as it stands in the database.
func Serial(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

// Issue certifies a key as the grant says, and records it. A key that the policy
// refuses is Invalid; one that another host has, or that was revoked, is Denied.
func (a *Authority) Issue(tx *store.Tx, key crypto.PublicKey, g enrol.Grant) (enrol.Certificate, error) {
	cert, err := a.issue(tx, key, g)
	if err != nil {
		return enrol.Certificate{}, fmt.Errorf("cannot certify the key of %s: %w", g.HostID, err)
	}
	return cert, nil
}

func (a *Authority) issue(tx *store.Tx, key crypto.PublicKey, g enrol.Grant) (none enrol.Certificate, err error) {
	life, err := mayCertify(key, g)
	if err != nil {
		return none, fleet.Errorf(fleet.Invalid, "%w", err)
	}
	keyDigest, err := digestOf(key)
	if err != nil {
		return none, fleet.Errorf(fleet.Invalid, "%w", err)
	}
	if err := claimKey(tx, keyDigest, g.HostID); err != nil {
		return none, err
	}
	m, by, err := a.issuing()
	if err != nil {
		return none, err
	}
	now := tx.Now()
	name, uri := subject(g)
	cert, err := keyring.Sign(&x509.Certificate{
		SerialNumber:          keyring.Serial(),
		Subject:               name,
		URIs:                  []*url.URL{uri},
		NotBefore:             later(now.Add(-leafBackdate), by.Cert.NotBefore),
		NotAfter:              keyring.Earlier(now.Add(life), by.Cert.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, by.Cert, key, by.Key)
	if err != nil {
		return none, err
	}
	if err := record(tx, cert, g, keyDigest); err != nil {
		return none, err
	}
	chain := keyring.CertificatePEM(append([]*x509.Certificate{cert}, m.Above(by)...)...)
	return enrol.Certificate{Chain: chain, Serial: Serial(cert), NotAfter: cert.NotAfter}, nil
}

func digestOf(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return digest(der), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// claimKey makes a key the host's.
func claimKey(tx *store.Tx, key, hostID string) error {
	c, found, err := get[certified](tx, certifiedClass, fleet.Row{"publicKey": key})
	switch {
	case err != nil:
		return err
	case !found:
		return tx.Put(certifiedClass, certifiedClass.Encode(certified{Key: key, HostID: hostID}))
	case c.Revoked:
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "this key was revoked"), "the host must make a new key")
	case c.HostID != hostID:
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "another host has this key"), "a copied machine must make a key of its own")
	}
	return nil
}

func record(tx *store.Tx, cert *x509.Certificate, g enrol.Grant, key string) error {
	_, found, err := get[issued](tx, issuedClass, fleet.Row{"serial": Serial(cert)})
	if found {
		err = fleet.Errorf(fleet.Exists, "the serial %s is taken", Serial(cert))
	}
	if err != nil {
		return err
	}
	return tx.Put(issuedClass, issuedClass.Encode(issued{
		Serial: Serial(cert), Purpose: string(g.Purpose), HostID: g.HostID, NodeType: g.NodeType, Tunnel: g.Tunnel, Good: true,
		NotBefore: cert.NotBefore.Unix(), NotAfter: cert.NotAfter.Unix(), Key: key, Digest: digest(cert.RawTBSCertificate),
	}))
}

// Read says what a certificate of ours says. One that an issuing key of ours did
// not sign is Denied, as is one with another form of our signature: so is what
// the policy would not have certified. Whether it has expired, and whether it was
// revoked ([Authority.Good]), are other questions.
func (a *Authority) Read(cert *x509.Certificate) (enrol.Grant, error) {
	err := errors.New("no issuing key of ours signed it")
	for _, i := range a.mat.Load().Issuing {
		if string(cert.RawIssuer) == string(i.Cert.RawSubject) && cert.CheckSignatureFrom(i.Cert) == nil {
			err = oneForm(cert, i.Cert)
			break
		}
	}
	var g enrol.Grant
	if err == nil {
		g, err = described(cert)
	}
	if err != nil {
		return enrol.Grant{}, fleet.Errorf(fleet.Denied, "cannot take the certificate: %w", err)
	}
	return g, nil
}

// oneForm refuses the other form of an ECDSA signature.
func oneForm(cert, by *x509.Certificate) error {
	if _, ok := by.PublicKey.(*ecdsa.PublicKey); !ok {
		return nil
	}
	r, s, err := keyring.ParseSignature(cert.Signature)
	if err == nil && (!keyring.IsLower(s) || r.Sign() <= 0) {
		err = errors.New("its signature is not in the form that we make")
	}
	return err
}

// Good is nil for the serial of a certificate that was issued and not revoked,
// else Denied. Whether it has expired is for the caller to judge: a host that
// slept for a year renews with what it has.
func (a *Authority) Good(tx *store.Tx, serial string) error {
	c, found, err := get[issued](tx, issuedClass, fleet.Row{"serial": serial})
	if err != nil {
		return err
	}
	if !found {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot take the certificate %s: it is not on record", serial), "the host must join again")
	}
	if !c.Good {
		return fleet.Errorf(fleet.Denied, "cannot take the certificate %s of %s: it was revoked on %s (%s)",
			serial, c.HostID, time.Unix(c.Revoked, 0).UTC().Format(time.DateTime), c.Reason)
	}
	return nil
}

// Granted says what the certificate with a serial was issued for. One that was
// revoked, is over or is not on record is Denied.
func (a *Authority) Granted(tx *store.Tx, serial string) (g enrol.Grant, err error) {
	if err := a.Good(tx, serial); err != nil {
		return g, err
	}
	c, _, err := get[issued](tx, issuedClass, fleet.Row{"serial": serial})
	if err != nil {
		return g, err
	}
	if end := time.Unix(c.NotAfter, 0); tx.Now().After(end) {
		return g, fleet.Errorf(fleet.Denied, "cannot take the certificate %s of %s: it ended on %s", serial, c.HostID, end.UTC().Format(time.DateTime))
	}
	return enrol.Grant{Purpose: enrol.Purpose(c.Purpose), HostID: c.HostID, NodeType: c.NodeType, Tunnel: c.Tunnel}, nil
}

// Adopt records a certificate of ours that is not on record: it was issued after
// the backup that this server was restored from. The caller has seen the host
// prove its key, and knows that host. What a list of revocations names stays
// revoked.
func (a *Authority) Adopt(tx *store.Tx, cert *x509.Certificate) error {
	g, err := a.Read(cert)
	if err != nil {
		return err
	}
	key, err := digestOf(cert.PublicKey)
	if err == nil {
		err = claimKey(tx, key, g.HostID)
	}
	if err == nil {
		err = record(tx, cert, g, key)
	}
	if err != nil {
		return fmt.Errorf("cannot adopt the certificate %s of %s: %w", Serial(cert), g.HostID, err)
	}
	return nil
}
