package keyring

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

const (
	rootLife    = 10 * 365 * 24 * time.Hour
	issuingLife = 5 * 365 * 24 * time.Hour
	// Backdate keeps a certificate valid for clients whose clock is behind.
	Backdate = 24 * time.Hour
	// Year is the longest life of what an issuing key signs.
	Year = 365 * 24 * time.Hour
)

// rootName begins the common name of a root.
const rootName = "Fernwerk CA of "

// first makes the root, from the key that an interrupted start may have left.
func first(dir, name string, now time.Time) (*Material, error) {
	key, err := readKey(filepath.Join(dir, "ca.key"))
	if errors.Is(err, fs.ErrNotExist) {
		key, err = NewKey()
		if err == nil {
			err = writeKey(filepath.Join(dir, "ca.key"), key)
		}
	}
	if err != nil {
		return nil, err
	}
	cert, err := root(rootName+name, key, now)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, "ca.pem"), CertificatePEM(cert), 0o644); err != nil {
		return nil, err
	}
	return Load(dir)
}

// root is a root's certificate for a key.
func root(name string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	template := authority(name, now, now.Add(rootLife))
	return Sign(template, template, key.Public(), key)
}

func authority(name string, now, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          Serial(),
		Subject:               pkix.Name{Organization: []string{"Fernwerk"}, CommonName: name},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// Sign makes a certificate by a P-256 key.
func Sign(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, lower{by})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newIssuing makes an issuing key, certified by the root's key. Each has a name
// of its own: lists of revocations go by the issuer's name.
func newIssuing(root *x509.Certificate, rootKey crypto.Signer, now time.Time) (Issuer, error) {
	key, err := NewKey()
	if err != nil {
		return Issuer{}, err
	}
	template := authority("", now, Earlier(now.Add(issuingLife), root.NotAfter))
	name := fmt.Sprintf("Fernwerk issuing CA %.8s", template.SerialNumber.Text(16))
	if long := name + " of " + strings.TrimPrefix(root.Subject.CommonName, rootName); len(long) <= 64 { // ub-common-name
		name = long
	}
	template.Subject.CommonName = name
	template.MaxPathLenZero = true
	cert, err := Sign(template, root, key.Public(), rootKey)
	return Issuer{cert, key}, err
}

// Provide makes an issuing key if there is none, or the newest ends before what
// it would sign, and the root's key is at hand.
func (m *Material) Provide(now time.Time) (changed bool, err error) {
	if m.RootKey == nil || len(m.Issuing) > 0 && !ends(m.Issuing[0].Cert, m.Root, now) {
		return false, nil
	}
	return true, m.rotate(m.RootKey, now)
}

// ends tells whether an issuing key ends before what it would sign, and a new one
// would not.
func ends(issuing, root *x509.Certificate, now time.Time) bool {
	return issuing.NotAfter.Before(now.Add(Year)) && issuing.NotAfter.Before(root.NotAfter)
}

// rotate puts a new issuing key before those that there are.
func (m *Material) rotate(rootKey crypto.Signer, now time.Time) error {
	made, err := newIssuing(m.Root, rootKey, now)
	if err != nil {
		return err
	}
	m.Issuing = append([]Issuer{made}, m.Issuing...)
	m.Generation++
	return nil
}

// Open reads a folder's authority and makes what it lacks.
func Open(dir, name string, now time.Time) (*Material, error) {
	m, err := Load(dir)
	if err != nil {
		return nil, err
	}
	if m == nil {
		if m, err = first(dir, name, now); err != nil {
			return nil, err
		}
	}
	changed, err := m.Provide(now)
	if err != nil || !changed {
		return m, err
	}
	return m, m.Keep(dir)
}

// Earlier is the earlier of two times.
func Earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
