package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

const (
	serverLife = keyring.Year
	checkEvery = time.Hour
)

// ServerCertificate is what the server shows. It is made anew when less than a
// third of its life is left, or when it lacks one of the names.
type ServerCertificate struct {
	names   []string
	log     *slog.Logger
	now     func() time.Time
	make    func() (*tls.Certificate, error)
	old     func(*x509.Certificate) bool // its issuer is not the one that signs now
	hint    string                       // what to do when make fails
	mu      sync.Mutex                   // of what makes it
	current atomic.Pointer[tls.Certificate]
}

// ServerCertificate reads the server's certificate or makes one. names are the
// DNS names and IP addresses under which clients reach the server.
func (a *Authority) ServerCertificate(names []string, log *slog.Logger) (*ServerCertificate, error) {
	s := &ServerCertificate{names: names, log: log, now: a.now, make: func() (*tls.Certificate, error) { return a.makeServer(names) },
		old:  a.Outdated,
		hint: "run: fernwerkd ca rotate --root-key FILE, with the root's key, or restore " + a.dir + " from a backup"}
	cert, err := a.readServer()
	if err == nil {
		s.current.Store(cert)
	} else if !errors.Is(err, fs.ErrNotExist) {
		// It is only a copy of what the authority says: a new one loses nothing.
		log.Warn("Server certificate cannot be used, making a new one", "error", err)
	}
	if err := s.renew(); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve renews the certificate in time until ctx ends. A failure is logged and
// tried again: the old certificate still works for months.
func (s *ServerCertificate) Serve(ctx context.Context) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.Renew()
		}
	}
}

// Renew makes the certificate anew if that is due.
func (s *ServerCertificate) Renew() {
	if err := s.renew(); err != nil {
		s.log.Error("Server certificate is not renewed", "error", err)
	}
}

// TLS is the configuration for a listener: TLS 1.3, or 1.2 for old opsi clients.
func (s *ServerCertificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.current.Load(), nil
		},
	}
}

func (s *ServerCertificate) renew() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cert := s.current.Load(); cert != nil && !s.due(cert.Leaf) {
		return nil
	}
	cert, err := s.make()
	if err != nil {
		return fleet.WithHint(fmt.Errorf("cannot make the server's certificate: %w", err), "%s", s.hint)
	}
	s.current.Store(cert)
	s.log.Info("Server certificate made", "names", s.names, "until", cert.Leaf.NotAfter.Format(time.DateOnly))
	return nil
}

func (s *ServerCertificate) due(cert *x509.Certificate) bool {
	left := cert.NotAfter.Sub(s.now())
	if s.old != nil && s.old(cert) || left < cert.NotAfter.Sub(cert.NotBefore)/3 {
		return true
	}
	return slices.ContainsFunc(s.names, func(n string) bool { return cert.VerifyHostname(n) != nil })
}

// Outdated tells whether a certificate was signed by another key than the one that
// signs now: one of before a rotation, or by the root, as it was once. A client
// that knows the newest root only must find its way, so a new one is made at once.
func (a *Authority) Outdated(cert *x509.Certificate) bool {
	_, by, err := a.issuing()
	return err == nil && cert.CheckSignatureFrom(by.Cert) != nil
}

// readServer reads server.pem and checks that it is of this authority. The roots
// are shown along with it: a client that knows only a root's fingerprint, from a
// join token, finds it there.
func (a *Authority) readServer() (*tls.Certificate, error) {
	return readServer(a.path("server.pem"), a.mat.Load().Roots())
}

func readServer(path string, roots []*x509.Certificate) (*tls.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: cert.Leaf.NotBefore.Add(time.Minute)}
	for _, der := range cert.Certificate[1:] {
		if above, err := x509.ParseCertificate(der); err == nil {
			opts.Intermediates.AddCert(above)
		}
	}
	for _, root := range roots {
		opts.Roots.AddCert(root)
	}
	if _, err := cert.Leaf.Verify(opts); err != nil {
		return nil, err
	}
	// The newest last: a client that looks for the issuer among what it was shown
	// meets what an older root says of it first.
	for _, root := range slices.Backward(roots) {
		if !slices.ContainsFunc(cert.Certificate, func(der []byte) bool { return bytes.Equal(der, root.Raw) }) {
			cert.Certificate = append(cert.Certificate, root.Raw)
		}
	}
	return &cert, nil
}

func (a *Authority) makeServer(names []string) (*tls.Certificate, error) {
	key, err := keyring.NewKey()
	if err != nil {
		return nil, err
	}
	chain, err := a.signServer(key.Public(), names)
	if err != nil {
		return nil, err
	}
	if err := writeServer(a.path("server.pem"), key, chain); err != nil {
		return nil, err
	}
	return a.readServer()
}

// signServer makes the certificate of a server with the names, with those above
// it up to the root.
func (a *Authority) signServer(key crypto.PublicKey, names []string) (chain []*x509.Certificate, err error) {
	m, by, err := a.issuing()
	if err != nil {
		return nil, err
	}
	cert, err := keyring.Sign(a.serverTemplate(names, by.Cert), by.Cert, key, by.Key)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{cert}, m.Above(by)...), nil
}

func (a *Authority) serverTemplate(names []string, issuer *x509.Certificate) *x509.Certificate {
	now := a.now()
	template := &x509.Certificate{
		SerialNumber:          keyring.Serial(),
		Subject:               pkix.Name{Organization: []string{"Fernwerk"}, CommonName: names[0]},
		NotBefore:             later(now.Add(-keyring.Backdate), issuer.NotBefore),
		NotAfter:              keyring.Earlier(now.Add(serverLife), issuer.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	return template
}

func writeServer(path string, key crypto.Signer, chain []*x509.Certificate) error {
	text, err := keyring.KeyPEM(key)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, append(text, keyring.CertificatePEM(chain...)...), 0o600)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Served describes the certificate that the server of a folder shows, nil if there
// is none.
func Served(dir string) (*keyring.Known, error) {
	m, err := keyring.Load(dir)
	if err != nil || m == nil {
		return nil, err
	}
	cert, err := readServer(filepath.Join(dir, "server.pem"), m.Roots())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := keyring.Describe(cert.Leaf)
	return &k, nil
}
