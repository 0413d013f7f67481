package identity

import (
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
)

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Fingerprint is a certificate's SHA-256 in hexadecimal, as people compare it.
func Fingerprint(c *x509.Certificate) string { return fingerprint(c.Raw) }

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
	now, err := id.update(func(now *Identity) { now.Key, now.Chain = key, out.Chain })
	if err != nil {
		return id, fmt.Errorf("cannot renew the machine's certificate: %w", err)
	}
	return now, nil
}

// update changes the identity as it is on the disk: somebody may have changed the
// policy meanwhile.
func (id Identity) update(fn func(*Identity)) (now Identity, err error) {
	err = alone(id.dir, func() error {
		now = id.now()
		fn(&now)
		if err := now.check(); err != nil {
			return fleet.Errorf(fleet.Denied, "what the server answers is no identity: %w", err)
		}
		return now.save(id.dir)
	})
	return now, err
}

// Over tells whether the certificate has ended. That it is due in time is the
// server's word.
func (id Identity) Over(now time.Time) bool {
	cert, err := id.Certificate()
	return err == nil && now.After(cert.Leaf.NotAfter)
}

// Serial is the certificate's number, "" if there is none.
func (id Identity) Serial() string {
	cert, err := id.Certificate()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", cert.Leaf.SerialNumber)
}

// Believe makes other authorities those that the machine believes, as far as the
// present ones vouch for them. A machine that goes by first sight has none, and
// none is made for it: what it believes is what was stored.
func (id Identity) Believe(offered []byte, at time.Time) (Identity, error) {
	if id.ServerTrust == FirstUse {
		return id, nil
	}
	good, err := enrol.Vouched([]byte(id.CA), offered, at)
	if err != nil {
		return id, err
	}
	now, err := id.update(func(now *Identity) { now.CA = string(good) })
	if err != nil {
		return id, err
	}
	return now, nil
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
