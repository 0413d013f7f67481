package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// NewKey makes a key of the kind that all of ours have.
func NewKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func writeKey(path string, key crypto.Signer) error {
	text, err := KeyPEM(key)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, text, 0o600)
}

// KeyPEM is a private key as text.
func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return EncodePEM("PRIVATE KEY", der), nil
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

// belongs tells whether a certificate is for a key.
func belongs(cert *x509.Certificate, key crypto.Signer) bool {
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	return ok && pub.Equal(key.Public())
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

// EncodePEM is one block.
func EncodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// CertificatePEM is certificates as text.
func CertificatePEM(certs ...*x509.Certificate) (text []byte) {
	for _, c := range certs {
		text = append(text, EncodePEM("CERTIFICATE", c.Raw)...)
	}
	return text
}

// Serial is 127 random bits (RFC 5280 4.1.2.2: positive, at most 20 octets).
func Serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n.Add(n, big.NewInt(1))
}

// lower is a P-256 key whose signatures have the lower of the two values of s.
// Of a signature (r, s) everybody can make (r, n-s), which is as valid: a
// certificate whose bytes are another one's, and its meaning the same.
type lower struct{ crypto.Signer }

// Lowered is a key that makes such signatures.
func Lowered(key crypto.Signer) crypto.Signer { return lower{key} }

func (l lower) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := l.Signer.Sign(random, digest, opts)
	if err != nil {
		return nil, err
	}
	r, s, err := ParseSignature(sig)
	if err != nil {
		return nil, err
	}
	if !IsLower(s) {
		s.Sub(elliptic.P256().Params().N, s)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.Bytes()
}

// IsLower tells whether a signature has the form that ours have.
func IsLower(s *big.Int) bool {
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	return s.Cmp(half) <= 0
}

// ParseSignature reads an ECDSA signature that is nothing more.
func ParseSignature(sig []byte) (r, s *big.Int, err error) {
	r, s = new(big.Int), new(big.Int)
	in, inner := cryptobyte.String(sig), cryptobyte.String(nil)
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !in.Empty() || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() {
		return nil, nil, errors.New("it is no ECDSA signature")
	}
	return r, s, nil
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
