// Package ca is the server's certificate authority: it makes the root once, and
// from it the certificate that the server shows to everybody.
//
// Agents pin the root (or its SHA-256 fingerprint), so the root must outlive
// every restart and every crash. In the folder stand
//
//	ca.key      the root's private key (PKCS #8, mode 0600)
//	ca.pem      the root's certificate, which everybody may have
//	server.pem  the server's private key and certificate, in this order (0600)
//
// The key is written, and durable, before the certificate that names it: a
// crash in between leaves a key, and the next start makes its certificate. The
// server's key and certificate are one file, so that no crash can leave a pair
// that does not match. Every file is replaced atomically.
//
// The root's key is only needed to make a server certificate: it may be kept
// elsewhere meanwhile, and is missed when the next one is due.
//
// Keys are ECDSA P-256: every client since Windows 7 knows them, and they are
// short on a slow line.
package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

const (
	rootLife = 10 * 365 * 24 * time.Hour
	// backdate keeps a certificate valid for clients whose clock is behind.
	backdate = 24 * time.Hour
)

// Authority is an opened certificate authority.
type Authority struct {
	dir  string
	cert *x509.Certificate
	now  func() time.Time
}

// Open reads the authority in a folder, or makes one there. name stands in the
// root's subject, for people who look at it. now is the clock.
func Open(dir, name string, now func() time.Time) (*Authority, error) {
	a := &Authority{dir: dir, now: now}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("cannot make the certificate authority: %w", err)
	}
	var err error
	a.cert, err = readCertificate(a.path("ca.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		a.cert, err = a.make(name)
	}
	if err != nil {
		return nil, fleet.WithHint(fmt.Errorf("cannot open the certificate authority: %w", err),
			"restore %s from a backup: agents trust this authority, a new one means that each must be told", dir)
	}
	return a, nil
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }

// make makes the root, from the key that an interrupted start may have left.
func (a *Authority) make(name string) (*x509.Certificate, error) {
	key, err := readKey(a.path("ca.key"))
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newKey()
		if err == nil {
			err = writeKey(a.path("ca.key"), key)
		}
	}
	if err != nil {
		return nil, err
	}
	der, err := root(name, key, a.now())
	if err != nil {
		return nil, err
	}
	if err := atomicfile.WriteFile(a.path("ca.pem"), encodePEM("CERTIFICATE", der), 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// root is the root's certificate for a key.
func root(name string, key crypto.Signer, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Fernwerk"}, CommonName: "Fernwerk CA of " + name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// PEM is the root's certificate as agents store it.
func (a *Authority) PEM() []byte { return encodePEM("CERTIFICATE", a.cert.Raw) }

// Fingerprint is the SHA-256 of the root's certificate in hexadecimal, by which
// a person or a token can name it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// key reads the root's key and checks that it is this root's.
func (a *Authority) key() (crypto.Signer, error) {
	key, err := readKey(a.path("ca.key"))
	if err != nil {
		return nil, err
	}
	if pub, ok := a.cert.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, fmt.Errorf("%s is not the key of %s", a.path("ca.key"), a.path("ca.pem"))
	}
	return key, nil
}

func newKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, encodePEM("PRIVATE KEY", der), 0o600)
}

func readKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	key, err := parseKey(block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it holds no private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it holds a key that cannot sign")
	}
	return signer, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// serial is 127 random bits (RFC 5280 4.1.2.2: positive, at most 20 octets).
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n.Add(n, big.NewInt(1))
}
