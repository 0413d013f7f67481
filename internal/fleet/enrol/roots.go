package enrol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxRoots and maxRootsSize bound what a server offers as authorities.
const (
	maxRoots     = 64
	maxRootsSize = 256 << 10
)

// Vouched are the authorities that a host believes after it was offered some: of
// the offered ones those that it believes already, and those that one which it
// believes vouches for, by a certificate over the new one's name and key, directly
// or over several steps. A host that slept through several changes catches up at
// once. Both are PEM, and what is returned holds the certificates that vouched as
// well, in the offered order: where all of the offer is good it is the offer.
//
// An authority that is offered no more is believed no more: it was rotated out. An
// offer of which nothing is vouched for is Denied, and changes nothing.
func Vouched(present, offered []byte, now time.Time) ([]byte, error) {
	have, err := authorities(present)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the authorities that are believed: %w", err)
	}
	offer, err := authorities(offered)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the authorities that are offered: %w", err)
	}
	var believed []*x509.Certificate
	for _, c := range have {
		if selfSigned(c) {
			believed = append(believed, c)
		}
	}
	good := map[*x509.Certificate]bool{}
	for again := true; again; {
		again = false
		for _, c := range offer {
			if !good[c] && acceptable(c, now) && vouchedFor(c, believed, now) {
				good[c], again = true, true
				believed = append(believed, c)
			}
		}
	}
	var out []byte
	roots := 0
	for _, c := range offer {
		if !good[c] {
			continue
		}
		if selfSigned(c) {
			roots++
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if roots == 0 {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot take the offered authorities: none that is believed vouches for them"),
			"if the server's authority was lost and made anew, join again with a token")
	}
	return out, nil
}

// vouchedFor tells whether one that is believed has this certificate's name and
// key, or signed it.
func vouchedFor(c *x509.Certificate, believed []*x509.Certificate, now time.Time) bool {
	return slices.ContainsFunc(believed, func(b *x509.Certificate) bool {
		if c.Equal(b) {
			return true
		}
		if now.After(b.NotAfter) {
			return false
		}
		same := bytes.Equal(b.RawSubject, c.RawSubject) && bytes.Equal(b.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo)
		return same && selfSigned(c) || bytes.Equal(b.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(b) == nil
	})
}

// acceptable tells whether a certificate is an authority's that may sign others
// and still counts. An issuing key's, below which nothing may be, is none.
func acceptable(c *x509.Certificate, now time.Time) bool {
	if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.MaxPathLenZero || now.After(c.NotAfter) {
		return false
	}
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	}
	return false
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// authorities reads PEM with certificates and nothing else.
func authorities(text []byte) (certs []*x509.Certificate, err error) {
	if len(text) > maxRootsSize {
		return nil, errors.New("they are too many")
	}
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) != 0 || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
			return nil, errors.New("there is something else than certificates")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if certs, text = append(certs, cert), rest; len(certs) > maxRoots {
			return nil, errors.New("they are too many")
		}
	}
	if len(certs) == 0 {
		return nil, errors.New("there is none")
	}
	return certs, nil
}

// Revocations is a list of revocations that was checked.
type Revocations struct {
	Number  int64
	Until   time.Time       // when a newer one should be there
	Revoked map[string]bool // serials in hexadecimal, lower case
}

// maxList bounds a list, in bytes.
const maxList = 4 << 20

// ReadCRL reads a list of revocations (DER) that an issuing key signed which one
// of the believed authorities certified. above are certificates that the server
// showed or sent along with ours, in PEM: one of them is the issuing key's. A list
// that is overdue still counts: what it revokes is revoked.
func ReadCRL(der, believed, above []byte, now time.Time) (*Revocations, error) {
	if len(der) > maxList {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot read the list of revocations: it has more than %d bytes", maxList)
	}
	roots, err := authorities(believed)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the authorities that are believed: %w", err)
	}
	between, err := authorities(above)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the issuing keys: %w", err)
	}
	list, err := x509.ParseRevocationList(der)
	if err == nil && len(list.Raw) != len(der) {
		err = errors.New("there is something behind it")
	}
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the list of revocations: %w", err)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range roots {
		opts.Roots.AddCert(c)
	}
	for _, c := range between {
		opts.Intermediates.AddCert(c)
	}
	signed := slices.ContainsFunc(between, func(c *x509.Certificate) bool {
		if !bytes.Equal(c.RawSubject, list.RawIssuer) || list.CheckSignatureFrom(c) != nil {
			return false
		}
		_, err := c.Verify(opts)
		return err == nil
	})
	if !signed {
		return nil, fleet.Errorf(fleet.Denied, "cannot take the list of revocations: no issuing key of a believed authority signed it")
	}
	if list.Number == nil || list.Number.Sign() <= 0 || list.Number.Cmp(big.NewInt(1<<62)) > 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot take the list of revocations: its number is none")
	}
	r := &Revocations{Number: list.Number.Int64(), Until: list.NextUpdate, Revoked: make(map[string]bool, len(list.RevokedCertificateEntries))}
	for _, e := range list.RevokedCertificateEntries {
		r.Revoked[e.SerialNumber.Text(16)] = true
	}
	return r, nil
}
