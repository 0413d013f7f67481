package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Renew asks for a certificate of a new key, shows the present one meanwhile, and
// replaces the identity. If the answer is lost, or the machine stops in between,
// the present one still counts.
func (id Identity) Renew(ctx context.Context, client *http.Client, prepare func(*http.Request) error) (Identity, error) {
	key, csr, err := newKey()
	if err != nil {
		return id, err
	}
	var out enrol.Renewed
	if _, err := Post(ctx, client, id.Server+"/v1/renew", prepare, enrol.Renewal{CSR: csr}, &out); err != nil {
		return id, fmt.Errorf("cannot renew the machine's certificate: %w", err)
	}
	if err := certified(key, out.Chain, id.HostID); err != nil {
		return id, fleet.Errorf(fleet.Denied, "cannot renew the machine's certificate: %w", err)
	}
	now := id.now() // somebody may have changed the policy meanwhile
	now.Key, now.Chain = key, out.Chain
	if err := now.check(); err != nil {
		return id, fleet.Errorf(fleet.Denied, "cannot renew the machine's certificate: %w", err)
	}
	return now, now.save(id.dir)
}

// renewAt is the part of a certificate's life after which it is renewed.
const renewAt = 2.0 / 3

// Due tells whether the certificate is to be renewed, and whether it is over.
func (id Identity) Due(now time.Time) (due, over bool) {
	cert, err := id.Certificate()
	if err != nil {
		return true, false // there is none
	}
	begin, end := cert.Leaf.NotBefore, cert.Leaf.NotAfter
	return now.Sub(begin) >= time.Duration(renewAt*float64(end.Sub(begin))), now.After(end)
}

// Serial is the certificate's number, "" if there is none.
func (id Identity) Serial() string {
	cert, err := id.Certificate()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", cert.Leaf.SerialNumber)
}

// Believe makes other authorities those that the machine believes. Each new one
// must be vouched for by one that it believes already: a certificate for the same
// name and key that one of those signed.
func (id Identity) Believe(roots []byte) (Identity, error) {
	fresh, err := pin.Certificates(roots)
	if err != nil {
		return id, err
	}
	known, err := pin.Certificates([]byte(id.CA))
	if err != nil {
		return id, err
	}
	believed := func(c *x509.Certificate) bool {
		for _, k := range known {
			if k.Equal(c) || bytes.Equal(k.RawSubject, c.RawSubject) && bytes.Equal(k.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) {
				return true
			}
		}
		for _, v := range fresh {
			if bytes.Equal(v.RawSubject, c.RawSubject) && bytes.Equal(v.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) {
				for _, k := range known {
					if v.CheckSignatureFrom(k) == nil {
						return true
					}
				}
			}
		}
		return false
	}
	var keep []byte
	for _, c := range fresh {
		if !c.IsCA || !believed(c) {
			return id, fleet.Errorf(fleet.Denied, "cannot believe the authority %.100q: no authority that we believe vouches for it", c.Subject.String())
		}
		if bytes.Equal(c.RawSubject, c.RawIssuer) { // what vouches is not itself a root
			keep = append(keep, pemOf(c)...)
		}
	}
	now := id.now()
	now.CA = string(keep)
	if err := now.check(); err != nil {
		return id, err
	}
	return now, now.save(id.dir)
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
