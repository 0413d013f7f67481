// Package pin is the trust of a TLS client in one server: by the authorities
// that it was given, or by the fingerprint of one certificate, which is how two
// machines meet for the first time.
package pin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrUntrusted says that the server does not have the pinned certificate.
var ErrUntrusted = errors.New("certificate is not the pinned one")

// Protocol stands in the hello (ALPN) of every client that was given an authority
// or a fingerprint, beside HTTP. No server chooses it. It asks a server that has a
// public certificate, too, for the one of its own authority: see package acme of
// the server.
const Protocol = "fernwerk"

// protocols are what such a client offers. Clients of HTTP/2 add h2.
func protocols() []string { return []string{"http/1.1", Protocol} }

// Config is the trust in one server, by its host name or address.
//
//   - caPEM: only certificates of these authorities are taken.
//   - fingerprint (SHA-256 of a certificate, hex, colons and a leading "SHA256:" allowed): the chain that
//     the server shows must contain it, as the authority or as the server's own
//     certificate. With caPEM it must be one of those authorities.
//   - neither: what the system trusts.
//
// A fingerprint alone is how a node meets its server for the first time: a join
// token carries it. The name is checked in all cases but a pinned server
// certificate. TLS 1.2 is allowed because old opsi servers have no other.
func Config(host string, caPEM []byte, fingerprint string) (*tls.Config, error) {
	pin, err := parseFingerprint(fingerprint)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if len(caPEM) > 0 {
		cas, err := Certificates(caPEM)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.NextProtos = protocols()
		found := pin == nil
		for _, ca := range cas {
			if pin == nil || pinned(ca, pin) {
				cfg.RootCAs.AddCert(ca)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("cannot trust CA file: no certificate in it has the fingerprint %s", fingerprint)
		}
		return cfg, nil
	}
	if pin != nil {
		cfg.NextProtos = protocols()
		// Verification is ours: the authority is known by its hash only.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(cs tls.ConnectionState) error { return verifyPinned(cs.PeerCertificates, host, pin, cfg.Time) }
	}
	return cfg, nil
}

// Checked is the trust in a server by somebody's own judgement, which is asked for
// at each handshake: authorities that may change meanwhile (see [Verify]), or a
// certificate that was seen before. The handshake fails with its error.
func Checked(host string, check func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: protocols(), InsecureSkipVerify: true, VerifyConnection: check}
}

// Verify checks what a server showed against authorities (PEM) and its name. now
// is the clock, nil the machine's.
func Verify(chain []*x509.Certificate, host string, caPEM []byte, now func() time.Time) error {
	cas, err := Certificates(caPEM)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	opts := x509.VerifyOptions{DNSName: host, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	if now != nil {
		opts.CurrentTime = now()
	}
	for _, c := range cas {
		opts.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

// Certificates reads all certificates of a PEM file; none is an error.
func Certificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("cannot read CA file: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("cannot read CA file: no certificate in it")
	}
	return certs, nil
}

func verifyPinned(chain []*x509.Certificate, host string, pin []byte, now func() time.Time) error {
	if len(chain) == 0 {
		return ErrUntrusted
	}
	if pinned(chain[0], pin) {
		return nil
	}
	opts := x509.VerifyOptions{DNSName: host, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	if now != nil {
		opts.CurrentTime = now()
	}
	found := false
	for _, cert := range chain[1:] {
		if pinned(cert, pin) {
			opts.Roots.AddCert(cert)
			found = true
		} else {
			opts.Intermediates.AddCert(cert)
		}
	}
	if !found {
		return ErrUntrusted
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

func pinned(cert *x509.Certificate, pin []byte) bool {
	sum := sha256.Sum256(cert.Raw)
	return subtle.ConstantTimeCompare(sum[:], pin) == 1
}

func parseFingerprint(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	digits := s
	if len(s) > 7 && strings.EqualFold(s[:7], "sha256:") {
		digits = s[7:]
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, fmt.Errorf("cannot use fingerprint %q: it is no SHA-256 in hex", s)
	}
	return pin, nil
}

// Direct is a proxy function that asks nobody for loopback servers: the agent's
// own service at 127.0.0.1:4441 is behind no proxy, whatever an environment or
// a configured proxy says. Nil is the environment's.
func Direct(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	return func(r *http.Request) (*url.URL, error) {
		if loopback(r.URL.Hostname()) {
			return nil, nil
		}
		return proxy(r)
	}
}

func loopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
