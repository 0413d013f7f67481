package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
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

func newKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func writeKey(path string, key crypto.Signer) error {
	text, err := keyPEM(key)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, text, 0o600)
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return encodePEM("PRIVATE KEY", der), nil
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

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func certificatePEM(certs ...*x509.Certificate) (text []byte) {
	for _, c := range certs {
		text = append(text, encodePEM("CERTIFICATE", c.Raw)...)
	}
	return text
}

// serial is 127 random bits (RFC 5280 4.1.2.2: positive, at most 20 octets).
func serial() *big.Int {
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

func (l lower) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := l.Signer.Sign(random, digest, opts)
	if err != nil {
		return nil, err
	}
	r, s, err := parseSignature(sig)
	if err != nil {
		return nil, err
	}
	if !isLower(s) {
		s.Sub(elliptic.P256().Params().N, s)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.Bytes()
}

func isLower(s *big.Int) bool {
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	return s.Cmp(half) <= 0
}

func parseSignature(sig []byte) (r, s *big.Int, err error) {
	r, s = new(big.Int), new(big.Int)
	in, inner := cryptobyte.String(sig), cryptobyte.String(nil)
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !in.Empty() || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() {
		return nil, nil, errors.New("it is no ECDSA signature")
	}
	return r, s, nil
}
