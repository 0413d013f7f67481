package session

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// maxCA is the most bytes that a server's CA file may have.
const maxCA = 256 << 10

// authorityPath is where a server shows its CA to everybody.
const authorityPath = "/ssl/ca-certs.pem"

// Believe finds the authority that vouches for a server, as PEM; "" is the
// system's. In this order: what a file or an earlier login says, what matches a
// fingerprint, what the system trusts, what a person says yes to. Nothing else
// is trusted, and nothing secret is sent meanwhile.
func (s *Source) Believe(ctx context.Context, server, known, fingerprint string) (string, error) {
	if Local(server) {
		return "", nil
	}
	want, err := parseFingerprint(fingerprint)
	if err != nil {
		return "", err
	}
	if known != "" {
		if want == "" {
			return known, nil
		}
		return pick([]byte(known), want)
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	if want == "" {
		if _, err := fetchAuthority(ctx, server, &tls.Config{ServerName: u.Hostname()}); !untrusted(err) {
			return "", err
		}
	}
	shown, err := fetchAuthority(ctx, server, &tls.Config{InsecureSkipVerify: true}) // checked by its hash, below
	if err != nil {
		return "", err
	}
	if want == "" {
		if want, err = s.askTrust(u.Host, shown); err != nil {
			return "", err
		}
	}
	return pick(shown, want)
}

// askTrust shows the fingerprint to a person, who compares it with what the
// server's own console says.
func (s *Source) askTrust(host string, shown []byte) (want string, err error) {
	certs, err := pin.Certificates(shown)
	if err != nil {
		return "", err
	}
	print := fingerprintOf(certs[0])
	if s.Console.Person() == nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot trust %s: nobody has said which CA is its own", host),
			"add --ca FILE with a copy of DIR/ca/ca.pem from the server's data folder, or --ca-fingerprint SHA256")
	}
	fmt.Fprintf(s.Console.Err, "%s shows a CA that is not known here:\n  %s\n  %s\nCompare it with the fingerprint that fernwerkd writes to its log when it starts.\n",
		host, console.Harmless(certs[0].Subject.String()), print)
	answer, err := s.Console.Ask("Trust it? [y/N] ")
	if err != nil {
		return "", err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return "", fleet.Errorf(fleet.Denied, "cannot log in to %s: its CA is not trusted", host)
	}
	return print, nil
}

// fetchAuthority downloads the CA that a server shows. It is public.
func fetchAuthority(ctx context.Context, server string, cfg *tls.Config) ([]byte, error) {
	transport := &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: cfg, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+authorityPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if untrusted(err) {
		return nil, err
	}
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot reach the server: %w", err), "is the address right, and is fernwerkd running there?")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fleet.WithHint(fmt.Errorf("cannot get the CA of %s: %s", server, resp.Status), "give it with --ca FILE")
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxCA+1))
	if err == nil && len(data) > maxCA {
		err = errors.New("it is too long")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get the CA of %s: %w", server, err)
	}
	return data, nil
}

func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// pick is the certificate with the fingerprint, as PEM.
func pick(data []byte, want string) (string, error) {
	certs, err := pin.Certificates(data)
	if err != nil {
		return "", err
	}
	for _, c := range certs {
		if fingerprintOf(c) == want {
			return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})), nil
		}
	}
	return "", fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot trust the server: its CA has the fingerprint %s, not %s", fingerprintOf(certs[0]), want),
		"is this the right server? If its CA was replaced, get the new fingerprint from its console")
}

// fingerprintOf names a certificate: its SHA-256 in hexadecimal, as fernwerkd
// and fernwerk-agent write it.
func fingerprintOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// parseFingerprint takes a fingerprint with or without SHA256: before it and
// colons in it; "" is none.
func parseFingerprint(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	digits := s
	if len(s) > 7 && strings.EqualFold(s[:7], "SHA256:") {
		digits = s[7:]
	}
	digits = strings.ToLower(strings.ReplaceAll(digits, ":", ""))
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != sha256.Size {
		return "", &console.Misuse{Text: fmt.Sprintf("cannot use the fingerprint %q: it is no SHA-256 in hexadecimal", s), Next: "it has 64 digits; fernwerkd writes it to its log when it starts"}
	}
	return digits, nil
}

// Authority is the fingerprint of the server's CA, asked of the server over a
// connection that is trusted already.
func (c *Connection) Authority(ctx context.Context) (string, error) {
	if Local(c.Account.Server) {
		return "", nil
	}
	data, err := []byte(c.Account.CA), error(nil)
	if len(data) == 0 {
		cfg, err := trust(c.Account)
		if err != nil {
			return "", err
		}
		if data, err = fetchAuthority(ctx, c.Account.Server, cfg); err != nil {
			return "", err
		}
	}
	certs, err := pin.Certificates(data)
	if err != nil {
		return "", err
	}
	return fingerprintOf(certs[0]), nil
}
