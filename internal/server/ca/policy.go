package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// What may be certified stands here, and nowhere else: which keys, which names,
// for how long. Nothing in this file signs.

// leafBackdate is how far the clock of whoever sees a host's certificate may be
// behind.
const leafBackdate = time.Hour

// lives are the longest lives, and those of a grant that names none.
var lives = map[enrol.Purpose]time.Duration{
	enrol.Host:   90 * 24 * time.Hour,
	enrol.Tunnel: 7 * 24 * time.Hour,
}

// mayCertify judges a key and a grant, and returns the life that it gets.
func mayCertify(key crypto.PublicKey, g enrol.Grant) (time.Duration, error) {
	if err := goodKey(key); err != nil {
		return 0, err
	}
	life, known := lives[g.Purpose]
	if !known {
		return 0, fmt.Errorf("nothing is certified for the purpose %q", g.Purpose)
	}
	if err := fleet.ValidHostID(g.HostID); err != nil {
		return 0, err
	}
	if g.NodeType != "" {
		if err := enrol.ValidNodeType(g.NodeType); err != nil {
			return 0, err
		}
	}
	if (g.Purpose == enrol.Tunnel) != (g.Tunnel != "") {
		return 0, errors.New("a tunnel's name belongs to a tunnel's certificate, and to no other")
	}
	if g.Tunnel != "" {
		if err := enrol.ValidTunnel(g.Tunnel); err != nil {
			return 0, err
		}
	}
	if g.Life < 0 || g.Life > life {
		return 0, fmt.Errorf("a life of %v is not within %v", g.Life, life)
	}
	if g.Life > 0 {
		life = g.Life
	}
	return life, nil
}

// goodKey takes the two kinds of keys whose signatures everybody checks in one
// way: no RSA, whose small and faulty keys are many, and no other curve.
func goodKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return errors.New("its key is of another curve than P-256")
		}
		if _, err := k.ECDH(); err != nil {
			return errors.New("its key is no point of P-256")
		}
		return nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return errors.New("its key is no Ed25519 key")
		}
		if lowOrder(k) {
			return errors.New("its key is one under which anybody can sign")
		}
		return nil
	}
	return fmt.Errorf("its key is a %T: only ECDSA P-256 and Ed25519 are taken", key)
}

// lowOrder tells whether an Ed25519 key is one of the points of small order, for
// which one signature fits many messages: y is 0, 1, -1, or one of the two of
// order eight, also written beyond the field's size.
func lowOrder(key ed25519.PublicKey) bool {
	var k [32]byte
	copy(k[:], key)
	k[31] &= 0x7f // the sign of x
	small := [...]string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}
	text := fmt.Sprintf("%x", k)
	for _, s := range small {
		if text == s {
			return true
		}
	}
	return false
}

// subject is what a certificate says of a grant, and described reads back.
func subject(g enrol.Grant) (pkix.Name, *url.URL) {
	name := pkix.Name{CommonName: g.HostID}
	if g.NodeType != "" {
		name.OrganizationalUnit = []string{g.NodeType}
	}
	opaque := "host:" + g.HostID
	if g.Purpose == enrol.Tunnel {
		opaque = "tunnel:" + g.Tunnel + ":" + g.HostID
	}
	return name, &url.URL{Scheme: "fernwerk", Opaque: opaque}
}

// described reads what a certificate says. It takes exactly what subject makes.
func described(cert *x509.Certificate) (g enrol.Grant, err error) {
	refuse := errors.New("it is not a host's certificate")
	if cert.IsCA || len(cert.URIs) != 1 || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) != 0 ||
		len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(cert.UnknownExtKeyUsage) != 0 {
		return g, refuse
	}
	g.HostID = cert.Subject.CommonName
	if units := cert.Subject.OrganizationalUnit; len(units) == 1 {
		g.NodeType = units[0]
	}
	word := strings.Split(cert.URIs[0].Opaque, ":")
	switch {
	case len(word) == 2 && word[0] == "host":
		g.Purpose = enrol.Host
	case len(word) == 3 && word[0] == "tunnel":
		g.Purpose, g.Tunnel = enrol.Tunnel, word[1]
	default:
		return enrol.Grant{}, refuse
	}
	g.Life = cert.NotAfter.Sub(cert.NotBefore) - leafBackdate
	name, uri := subject(g)
	if cert.Subject.String() != name.String() || cert.URIs[0].String() != uri.String() {
		return enrol.Grant{}, refuse
	}
	if _, err := mayCertify(cert.PublicKey, g); err != nil {
		return enrol.Grant{}, err
	}
	return g, nil
}
