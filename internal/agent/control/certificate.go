package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// CertPath is the service's certificate, which its clients pin.
func CertPath(dataDir string) string { return filepath.Join(dataDir, "control", "cert.pem") }

func keyPath(dataDir string) string { return filepath.Join(dataDir, "control", "key.pem") }

func addressPath(dataDir string) string { return filepath.Join(dataDir, "control", "address") }

// Its clients pin the certificate, so that time adds nothing: it is good
// whatever this machine's clock says, which may have stood at 1970 when it was
// made. The last moment is RFC 5280's for "no end".
var (
	notBefore = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// certificate reads the service's certificate, or makes one. The key is
// written first: a certificate without its key is made anew.
func certificate(dataDir string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(CertPath(dataDir), keyPath(dataDir))
	if err == nil {
		return cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "fernwerk-agent local service"},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return cert, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return cert, err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.MkdirAll(filepath.Join(dataDir, "control"), 0o700); err != nil {
		return cert, fmt.Errorf("cannot keep the local service's certificate: %w", err)
	}
	err = errors.Join(atomicfile.WriteFile(keyPath(dataDir), keyPEM, 0o600), atomicfile.WriteFile(CertPath(dataDir), certPEM, 0o644))
	if err != nil {
		return cert, fmt.Errorf("cannot keep the local service's certificate: %w", err)
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func tlsConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

// writeAddress tells local clients where the service listens.
func writeAddress(dataDir, address string) error {
	if err := atomicfile.WriteFile(addressPath(dataDir), []byte(address), 0o644); err != nil {
		return fmt.Errorf("cannot note the local service's address: %w", err)
	}
	return nil
}

// Address is where the agent of a data folder listens, or listened last.
func Address(dataDir string) (string, error) {
	data, err := os.ReadFile(addressPath(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the agent has not run yet")
	}
	return string(data), err
}
