package rpc

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

func TestProxy(t *testing.T) {
	proxied := 0
	proxy := pin.Direct(func(*http.Request) (*url.URL, error) { proxied++; return url.Parse("http://proxy.test:3128") })
	for host, want := range map[string]bool{
		"127.0.0.1:4441": false, "127.8.8.8": false, "[::1]:4441": false, "localhost": false, "LOCALHOST.:4441": false, "a.localhost": false,
		"10.0.0.1:4447": true, "depot.test": true, "localhost.test": true, "[2001:db8::1]": true,
	} {
		u, err := proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
		if err != nil || (u != nil) != want {
			t.Errorf("%s: proxy %v, %v", host, u, err)
		}
	}
	// And on the wire: the proxy of this client does not exist.
	s := open(t, ours, Limits{})
	proxied = 0
	call(t, s.client(t, "h", func(o *Options) {
		o.Proxy = func(*http.Request) (*url.URL, error) { proxied++; return url.Parse("http://127.0.0.1:1") }
	}), "get")
	if proxied != 0 {
		t.Error("a loopback server was asked through the proxy")
	}
}

func TestTrust(t *testing.T) {
	s := open(t, ours, Limits{})
	sum := sha256.Sum256(s.Certificate().Raw)
	fp := strings.ToUpper(hex.EncodeToString(sum[:]))
	colons := fp[:2] + ":" + fp[2:]
	wrong := strings.Repeat("00", 32)
	for _, tt := range []struct {
		name, host  string
		ca          []byte
		fingerprint string
		bad, refuse bool
	}{
		{"CA", "127.0.0.1", s.ca(), "", false, false},
		{"CA, wrong name", "other.test", s.ca(), "", false, true},
		{"CA and fingerprint", "127.0.0.1", s.ca(), colons, false, false},
		{"CA and wrong fingerprint", "127.0.0.1", s.ca(), wrong, true, false},
		{"fingerprint", "127.0.0.1", nil, fp, false, false},
		{"wrong fingerprint", "127.0.0.1", nil, wrong, false, true},
		{"system", "127.0.0.1", nil, "", false, true},
		{"no fingerprint", "127.0.0.1", nil, "00", true, false},
		{"no CA", "127.0.0.1", []byte("x"), "", true, false},
	} {
		cfg, err := pin.Config(tt.host, tt.ca, tt.fingerprint)
		if tt.bad || err != nil {
			if (err != nil) != tt.bad {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		c := s.client(t, "h", func(o *Options) { o.TLS = cfg })
		_, err = c.Greet(t.Context())
		if tt.refuse && (fleet.CodeOf(err) != fleet.Unauthenticated || fleet.HintOf(err) == "") || !tt.refuse && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// The authority's fingerprint is enough to meet a server, and no more than that:
// its other certificates, and other names, are refused.
func TestTrustByAuthority(t *testing.T) {
	ca := newAuthority(t)
	serve := func(cert tls.Certificate) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.Config.ErrorLog = quiet
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	sum := sha256.Sum256(ca.cert.Raw)
	fp := hex.EncodeToString(sum[:])
	stranger := newAuthority(t)
	forged := stranger.issue(t, "127.0.0.1", true)
	forged.Certificate = append(forged.Certificate, ca.cert.Raw) // shows the pinned authority beside a chain of its own
	for _, tt := range []struct {
		name string
		cert tls.Certificate
		ok   bool
	}{
		{"server", ca.issue(t, "127.0.0.1", true), true},
		{"other name", ca.issue(t, "127.0.0.2", true), false},
		{"a client's certificate", ca.issue(t, "127.0.0.1", false), false},
		{"stranger", stranger.issue(t, "127.0.0.1", true), false},
		{"stranger with our authority", forged, false},
	} {
		cfg, err := pin.Config("127.0.0.1", nil, fp)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewClient(Options{URL: serve(tt.cert), TLS: cfg})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Greet(t.Context())
		c.http.CloseIdleConnections()
		if tt.ok != (err == nil) || err != nil && fleet.CodeOf(err) != fleet.Unauthenticated {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
