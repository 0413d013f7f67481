// Package acme gets the certificate of the server's public name from a public
// authority (ACME, RFC 8555), so that browsers take the server without knowing
// ours.
//
// Machines must not depend on it: they pin our own authority, which no public one
// can stand in for, and a public certificate changes its issuer whenever its owner
// likes. So both certificates are served on one port, and who asks decides which:
//
//   - a client that names the protocol "fernwerk" in its hello (ALPN, RFC 7301)
//     gets our own certificate, whatever name it asks for. Every client of ours
//     that was given an authority or a fingerprint does so: see the package pin.
//   - any other client that asks for a public name (SNI) gets the public one;
//   - everything else gets our own.
//
// The protocol is only a sign: the server never chooses it, and clients offer HTTP
// beside it. Clients of opsi, and ours of before, do not send it: they must reach
// the server by a name that is not among the public ones.
//
// The authority is shown that the name is ours by TLS-ALPN-01 on the server's own
// port, which the world must reach as 443, or by HTTP-01 on a second listener that
// it reaches as 80. Until there is a public certificate, and when none can be had,
// our own is served: a handshake never waits for the authority.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	acmeclient "golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// Config says what to get where.
type Config struct {
	Names     []string // DNS names
	Directory string   // URL; empty is Let's Encrypt's
	// Roots are the authorities of the directory's own certificate, in PEM; nil is
	// the system's.
	Roots []byte
	Email string
	// Cache keeps the account's key and the certificates.
	Cache autocert.Cache
	// HTTP is the listener for HTTP-01, nil for none. Everything else is sent on to
	// https there.
	HTTP net.Listener
	// Alone has fn run at one server at a time; nil where there is one.
	Alone func(ctx context.Context, fn func(context.Context) error) error
	Log   *slog.Logger
}

// Public has the certificates of the public names.
type Public struct {
	cfg     Config
	manager *autocert.Manager

	mu    sync.Mutex
	ready map[string]bool
}

// New makes the Public; it asks nobody yet.
func New(cfg Config) (*Public, error) {
	client := &acmeclient.Client{DirectoryURL: cfg.Directory, UserAgent: "fernwerkd"}
	if cfg.Roots != nil {
		certs, err := pin.Certificates(cfg.Roots)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		for _, c := range certs {
			pool.AddCert(c)
		}
		client.HTTPClient = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	}
	p := &Public{cfg: cfg, ready: map[string]bool{}}
	p.manager = &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: cfg.Cache, HostPolicy: autocert.HostWhitelist(cfg.Names...), Email: cfg.Email, Client: client}
	if cfg.HTTP != nil {
		p.manager.HTTPHandler(nil) // the authority may ask there; it is called before the first order
	}
	return p, nil
}

// TLS adds the public names to a server's configuration.
func (p *Public) TLS(own *tls.Config) *tls.Config {
	cfg := own.Clone()
	cfg.NextProtos = []string{"h2", "http/1.1", acmeclient.ALPNProto}
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if p.asks(hello) {
			if challenge(hello) {
				return p.manager.GetCertificate(hello)
			}
			cert, err := p.manager.GetCertificate(plain(hello.ServerName))
			if err == nil {
				return cert, nil
			}
			p.cfg.Log.Error("Public certificate cannot be served, our own is", "name", hello.ServerName, "error", err)
		}
		return own.GetCertificate(hello)
	}
	return cfg
}

// asks tells whether a client is to get a public certificate.
func (p *Public) asks(hello *tls.ClientHelloInfo) bool {
	if challenge(hello) {
		return true
	}
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready[name] && !slices.Contains(hello.SupportedProtos, pin.Protocol)
}

// challenge tells whether the authority asks, not a client.
func challenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeclient.ALPNProto
}

// again is when an authority is asked again that refused: authorities count, and
// Let's Encrypt bears five failures an hour.
const again = 30 * time.Minute

// Serve gets what is missing, and keeps it renewed, until ctx ends. What fails is
// logged and tried again.
func (p *Public) Serve(ctx context.Context) error {
	stop := p.serveHTTP(ctx)
	defer stop()
	var names sync.WaitGroup
	for _, name := range p.cfg.Names {
		names.Go(func() {
			get := func(ctx context.Context) error { return retry.After(p.get(ctx, name), again) }
			if retry.Do(ctx, retry.Policy{}, get) != nil {
				return // ctx ended
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ready[strings.ToLower(name)] = true
		})
	}
	names.Wait()
	<-ctx.Done()
	return nil
}

// plain is the hello of a client that takes ECDSA. There is one certificate a
// name: a client that wants RSA would have another one ordered while it waits.
func plain(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256}}
}

// get has the manager load or order a certificate; it renews that by itself from
// then on.
func (p *Public) get(ctx context.Context, name string) error {
	var cert *tls.Certificate
	order := func(ctx context.Context) (err error) {
		done := make(chan struct{})
		go func() { // it has no context of ours, and a limit of its own
			defer close(done)
			cert, err = p.manager.GetCertificate(plain(name))
		}()
		select {
		case <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var err error
	if p.cfg.Alone != nil {
		err = p.cfg.Alone(ctx, order)
	} else {
		err = order(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			p.cfg.Log.Error("Public certificate cannot be had, our own is served", "name", name, "error", err)
		}
		return fmt.Errorf("cannot get the certificate of %s: %w", name, err)
	}
	p.cfg.Log.Info("Public certificate", "name", name, "issuer", cert.Leaf.Issuer.String(), "until", cert.Leaf.NotAfter.Format(time.DateOnly))
	return nil
}

// serveHTTP answers HTTP-01 until stop.
func (p *Public) serveHTTP(ctx context.Context) (stop func()) {
	if p.cfg.HTTP == nil {
		return func() {}
	}
	answer := p.manager.HTTPHandler(nil)
	named := func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.Host); err == nil { // a port says nothing about the name
			r.Host = host
		}
		answer.ServeHTTP(w, r)
	}
	srv := &http.Server{Handler: http.HandlerFunc(named), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(p.cfg.HTTP); !errors.Is(err, http.ErrServerClosed) {
			p.cfg.Log.Error("HTTP-01 is not answered", "error", err)
		}
	}()
	return func() {
		srv.Close()
		<-done
	}
}
