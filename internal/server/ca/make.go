package ca

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

// rootName begins the common name of a root.
const rootName = "Fernwerk CA of "

// first makes the root, from the key that an interrupted start may have left.
func first(dir, name string, now time.Time) (*material, error) {
	key, err := readKey(filepath.Join(dir, "ca.key"))
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newKey()
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
	if err := atomicfile.WriteFile(filepath.Join(dir, "ca.pem"), certificatePEM(cert), 0o644); err != nil {
		return nil, err
	}
	return load(dir)
}

// root is a root's certificate for a key.
func root(name string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	template := authority(name, now, now.Add(rootLife))
	return sign(template, template, key.Public(), key)
}

func authority(name string, now, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Fernwerk"}, CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

func sign(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, lower{by})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newIssuing makes an issuing key, certified by the root's key. Each has a name
// of its own: lists of revocations go by the issuer's name.
func newIssuing(root *x509.Certificate, rootKey crypto.Signer, now time.Time) (issuer, error) {
	key, err := newKey()
	if err != nil {
		return issuer{}, err
	}
	template := authority("", now, earlier(now.Add(issuingLife), root.NotAfter))
	name := fmt.Sprintf("Fernwerk issuing CA %.8s", template.SerialNumber.Text(16))
	if long := name + " of " + strings.TrimPrefix(root.Subject.CommonName, rootName); len(long) <= 64 { // ub-common-name
		name = long
	}
	template.Subject.CommonName = name
	template.MaxPathLenZero = true
	cert, err := sign(template, root, key.Public(), rootKey)
	return issuer{cert, key}, err
}

// provide makes an issuing key if there is none, or the newest ends before what
// it would sign, and the root's key is at hand.
func (m *material) provide(now time.Time) (changed bool, err error) {
	if m.rootKey == nil || len(m.issuing) > 0 && !ends(m.issuing[0].cert, m.root, now) {
		return false, nil
	}
	return true, m.rotate(m.rootKey, now)
}

// ends tells whether an issuing key ends before what it would sign, and a new one
// would not.
func ends(issuing, root *x509.Certificate, now time.Time) bool {
	return issuing.NotAfter.Before(now.Add(serverLife)) && issuing.NotAfter.Before(root.NotAfter)
}

// rotate puts a new issuing key before those that there are.
func (m *material) rotate(rootKey crypto.Signer, now time.Time) error {
	made, err := newIssuing(m.root, rootKey, now)
	if err != nil {
		return err
	}
	m.issuing = append([]issuer{made}, m.issuing...)
	m.generation++
	return nil
}
