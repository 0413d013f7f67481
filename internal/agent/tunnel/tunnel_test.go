package tunnel_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	agenttunnel "github.com/fernwerk/fernwerk/internal/agent/tunnel"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
)

// authority is a server's.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key = newKey(t)
	a.cert = a.sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, &a.key.PublicKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) sign(template, parent *x509.Certificate, key any) *x509.Certificate {
	a.t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) leaf(key any, now time.Time) string {
	return encode(a.sign(&x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "pc"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 7),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.cert, key))
}

func encode(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// server answers as a fernwerkd does, unless wrong changes it.
type server struct {
	*authority
	now   time.Time
	asked int
	wrong func(*tunnel.Answer)
}

func (s *server) client() agenttunnel.Client {
	return agenttunnel.Client{
		Now: func() time.Time { return s.now },
		CA:  func() []byte { return []byte(encode(s.cert)) },
		Ask: func(_ context.Context, path string, in, out any) error {
			s.asked++
			if path != "/v1/tunnel/vpns" {
				return errors.New("no such tunnel")
			}
			key, _, err := enrol.ParseRequest([]byte(in.(tunnel.Request).CSR))
			if err != nil {
				return err
			}
			config, err := tunnel.Settings{Name: "vpns", Remote: "h"}.Render()
			got := out.(*tunnel.Answer)
			*got = tunnel.Answer{Chain: s.leaf(key, s.now), CA: "somebody else's", Config: config}
			if s.wrong != nil {
				s.wrong(got)
			}
			return err
		},
	}
}

func TestFetch(t *testing.T) {
	s := &server{authority: newAuthority(t), now: time.Now()}
	p := agenttunnel.Place{Name: "vpns", Dir: filepath.Join(t.TempDir(), "openvpn")}
	fetch := func(want bool) {
		t.Helper()
		if changed, _, err := s.client().Fetch(t.Context(), p, true); err != nil || changed != want {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	fetch(true)
	fetch(false)
	if read("ca.crt") != encode(s.cert) {
		t.Error("the authorities are those of the answer, not the machine's own")
	}
	key, first := read("client.key"), read("client.crt")
	s.now = s.now.AddDate(0, 0, 4)
	fetch(false)
	s.now = s.now.AddDate(0, 0, 1)
	fetch(true)
	if read("client.key") != key || read("client.crt") == first {
		t.Error("a renewal replaces the certificate, and nothing else")
	}
	if err := os.Remove(filepath.Join(p.Dir, "vpns.conf")); err != nil {
		t.Fatal(err)
	}
	fetch(true)

	// The running agent renews what it was asked for.
	data := t.TempDir()
	for range 2 {
		if err := agenttunnel.Remember(data, p); err != nil {
			t.Fatal(err)
		}
	}
	s.now, s.asked = s.now.AddDate(0, 0, 6), 0
	service := &agenttunnel.Service{DataDir: data, Client: s.client(), Log: slog.New(slog.DiscardHandler)}
	for range 2 {
		if err := service.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked != 1 {
		t.Errorf("it asked %d times", s.asked)
	}
}

func TestFetch_Refuses(t *testing.T) {
	stranger := newAuthority(t)
	for name, wrong := range map[string]func(*tunnel.Answer){
		"another's key":       func(a *tunnel.Answer) { a.Chain = stranger.leaf(newKey(t).Public(), time.Now()) },
		"no certificate":      func(a *tunnel.Answer) { a.Chain = "" },
		"a line that runs":    func(a *tunnel.Answer) { a.Config += "up /bin/sh\n" },
		"no encryption":       func(a *tunnel.Answer) { a.Config = strings.Replace(a.Config, "data-ciphers", "cipher", 1) },
		"another's authority": nil,
	} {
		s := &server{authority: newAuthority(t), now: time.Now(), wrong: wrong}
		if wrong == nil {
			s.wrong = func(a *tunnel.Answer) {
				block, _ := pem.Decode([]byte(a.Chain))
				cert, _ := x509.ParseCertificate(block.Bytes)
				a.Chain = stranger.leaf(cert.PublicKey, time.Now())
			}
		}
		p := agenttunnel.Place{Name: "vpns", Dir: t.TempDir()}
		if _, _, err := s.client().Fetch(t.Context(), p, true); err == nil {
			t.Errorf("%s is taken", name)
		}
		for _, file := range []string{"client.crt", "vpns.conf", "ca.crt"} {
			if _, err := os.Stat(filepath.Join(p.Dir, file)); err == nil {
				t.Errorf("%s: %s was written", name, file)
			}
		}
	}
	s := &server{authority: newAuthority(t), now: time.Now()}
	t.Setenv("PATH", t.TempDir())
	p := agenttunnel.Place{Name: "vpns", Dir: filepath.Join(t.TempDir(), "x")}
	if _, _, err := s.client().Fetch(t.Context(), p, false); err == nil || s.asked > 0 {
		t.Errorf("without OpenVPN: %v, asked %d times", err, s.asked)
	}
	if _, err := os.Stat(p.Dir); err == nil {
		t.Error("without OpenVPN something was written")
	}
	p.Name = "../x"
	if _, _, err := s.client().Fetch(t.Context(), p, true); err == nil {
		t.Error("a name that leaves the folder is taken")
	}
}
