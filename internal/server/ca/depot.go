package ca

import (
	"context"
	"crypto"
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
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// maxRequest bounds a signing request, in bytes.
const maxRequest = 16 << 10

// Sign makes the certificate of a depot server from its signing request (PEM).
// The names are the caller's: of the request only the key counts.
func (a *Authority) Sign(request []byte, names []string) ([]byte, error) {
	invalid := func(err error) error { return fleet.Errorf(fleet.Invalid, "cannot sign the request: %w", err) }
	if len(request) > maxRequest || len(names) == 0 {
		return nil, invalid(errors.New("it is too large, or there is no name"))
	}
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, invalid(errors.New("it is no signing request in PEM"))
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, invalid(err)
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, invalid(errors.New("its key is not ECDSA P-256"))
	}
	if !slices.Contains(csr.Subject.OrganizationalUnit, takesChain) {
		return a.signByRoot(csr.PublicKey, names)
	}
	chain, err := a.signServer(csr.PublicKey, names)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the request: %w", err)
	}
	return keyring.CertificatePEM(chain...), nil
}

// takesChain is the organisational unit in the request of a depot server that
// keeps a whole chain.
const takesChain = "chain"

// signByRoot is for a depot server of before: it knows a certificate by the root
// only, and would replace its good one by one that it cannot use.
func (a *Authority) signByRoot(key crypto.PublicKey, names []string) ([]byte, error) {
	m := a.mat.Load()
	if m.RootKey == nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot sign the request: the depot server takes certificates of the root only, whose key is away"),
			"update fernwerkd on the depot server")
	}
	cert, err := keyring.Sign(a.serverTemplate(names, m.Root), m.Root, key, m.RootKey)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the request: %w", err)
	}
	return keyring.CertificatePEM(cert), nil
}

// Issued is a server's certificate that another server's authority signs. dir
// holds it as server.pem, as it does at the config server; authority are that
// one's certificates as they are believed, in PEM, the newest root first. One that
// the newest does not stand above is replaced at once. ask gets a signing request and returns the certificate, both
// in PEM. name is one that the certificate must have. The first certificate is
// asked for here; what is renewed later is by Serve.
func Issued(dir string, authority func() []byte, name string, log *slog.Logger, now func() time.Time, ask func(context.Context, []byte) ([]byte, error)) (*ServerCertificate, error) {
	roots, err := pin.Certificates(authority())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "server.pem")
	s := &ServerCertificate{names: []string{name}, log: log, now: now, hint: "the config server must answer for this, and know this depot"}
	s.make = func() (*tls.Certificate, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		roots, err := pin.Certificates(authority())
		if err != nil {
			return nil, err
		}
		return request(ctx, path, roots, name, ask)
	}
	s.old = func(*x509.Certificate) bool {
		roots, err := pin.Certificates(authority())
		return err == nil && !reaches(s.current.Load(), roots[0], now())
	}
	switch cert, err := readServer(path, roots); {
	case err == nil:
		s.current.Store(cert)
	case !errors.Is(err, fs.ErrNotExist):
		log.Warn("Server certificate cannot be used, asking for a new one", "error", err)
	}
	if err := s.renew(); err != nil {
		if s.current.Load() == nil {
			return nil, err
		}
		log.Warn("Server certificate is not renewed now", "error", err) // it still counts
	}
	return s, nil
}

// reaches tells whether a certificate, with what is shown along with it, leads to
// this root alone.
func reaches(cert *tls.Certificate, root *x509.Certificate, at time.Time) bool {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at}
	opts.Roots.AddCert(root)
	for _, der := range cert.Certificate[1:] {
		if above, err := x509.ParseCertificate(der); err == nil {
			opts.Intermediates.AddCert(above)
		}
	}
	_, err := cert.Leaf.Verify(opts)
	return err == nil
}

func request(ctx context.Context, path string, roots []*x509.Certificate, name string, ask func(context.Context, []byte) ([]byte, error)) (*tls.Certificate, error) {
	key, err := keyring.NewKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{takesChain}}}, key)
	if err != nil {
		return nil, err
	}
	signed, err := ask(ctx, keyring.EncodePEM("CERTIFICATE REQUEST", der))
	if err != nil {
		return nil, err
	}
	certs, err := pin.Certificates(signed)
	if err != nil {
		return nil, err
	}
	if pub, ok := certs[0].PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("the certificate is not for the key that was sent")
	}
	if err := writeServer(path, key, certs); err != nil {
		return nil, err
	}
	return readServer(path, roots)
}
