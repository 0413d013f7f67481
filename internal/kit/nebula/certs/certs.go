// Package certs signs nebula's certificates, version 2 on Curve25519: a mesh has
// one authority, whose certificate every node holds.
package certs

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/slackhq/nebula/cert"
)

// Authority signs for a mesh.
type Authority struct {
	Certificate string // PEM
	cert        cert.Certificate
	key         ed25519.PrivateKey
}

// Node is what a certificate says.
type Node struct {
	Name     string
	Networks []netip.Prefix // its address in each, with the network's length
	Groups   []string
	Key      []byte // its X25519 public key
	From     time.Time
	Until    time.Time
}

// New makes an authority; the text is its private key and certificate, in PEM.
func New(name string, from, until time.Time) (text []byte, err error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	made, err := (&cert.TBSCertificate{Version: cert.Version2, Name: name, IsCA: true, NotBefore: from, NotAfter: until,
		PublicKey: public, Curve: cert.Curve_CURVE25519}).Sign(nil, cert.Curve_CURVE25519, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make the mesh's authority: %w", err)
	}
	pem, err := made.MarshalPEM()
	return append(cert.MarshalSigningPrivateKeyToPEM(cert.Curve_CURVE25519, key), pem...), err
}

// Read reads an authority that New made.
func Read(text []byte) (*Authority, error) {
	key, rest, curve, err := cert.UnmarshalSigningPrivateKeyFromPEM(text)
	if err != nil || curve != cert.Curve_CURVE25519 || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("cannot read the mesh's authority: its key is none (%v)", err)
	}
	ca, _, err := cert.UnmarshalCertificateFromPEM(rest)
	if err == nil {
		err = ca.VerifyPrivateKey(cert.Curve_CURVE25519, key)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the mesh's authority: %w", err)
	}
	return &Authority{Certificate: string(rest), cert: ca, key: key}, nil
}

// Sign signs for a node. fingerprint is by what it is blocked.
func (a *Authority) Sign(n Node) (pem, fingerprint string, err error) {
	if len(n.Key) != 32 {
		return "", "", fmt.Errorf("cannot sign for %s: its key has not 32 bytes", n.Name)
	}
	if n.Until.After(a.cert.NotAfter()) {
		n.Until = a.cert.NotAfter()
	}
	made, err := (&cert.TBSCertificate{Version: cert.Version2, Name: n.Name, Networks: n.Networks, Groups: n.Groups,
		NotBefore: n.From, NotAfter: n.Until, PublicKey: n.Key, Curve: cert.Curve_CURVE25519}).Sign(a.cert, cert.Curve_CURVE25519, a.key)
	if err == nil {
		fingerprint, err = made.Fingerprint()
	}
	var text []byte
	if err == nil {
		text, err = made.MarshalPEM()
	}
	if err != nil {
		return "", "", fmt.Errorf("cannot sign for %s: %w", n.Name, err)
	}
	return string(text), fingerprint, nil
}

// Public is the key by which what the authority says is checked.
func (a *Authority) Public() ed25519.PublicKey { return a.key.Public().(ed25519.PublicKey) }

// Say signs a text of another kind than a certificate. The caller's text begins
// with words that no certificate begins with.
func (a *Authority) Say(text []byte) []byte { return ed25519.Sign(a.key, text) }
