package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/config"
)

// genCertif asks as a bare node does.
func (r *running) genCertif(t testing.TB, query, csr, token string, cert *tls.Certificate) (int, string) {
	req, err := http.NewRequest(http.MethodPost, r.URL()+"/v1/gen_certif"+query, strings.NewReader(csr))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	if token != "" {
		req.Header.Set("X-Fernwerk-Token", token)
	}
	return r.do(t, req, nil, cert)
}

func leafOf(t testing.TB, chain string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(chain))
	if block == nil {
		t.Fatalf("no certificate: %s", chain)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

const asVnode = "?idhaltype=vnode"

func TestGenCertif(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir(), ID: "server.example.org"})
	admin := r.client(t, "admin", password)
	token, _ := makeToken(t, admin, map[string]any{"uses": 1})
	_, csr := newRequest(t)
	for _, query := range []string{"", "?idhaltype=", "?idhaltype=V", "?idhaltype=" + url.QueryEscape("vnode;reboot"), "?idhaltype=" + url.QueryEscape("$(id)"), "?idhaltype=a&idhaltype=b", "?idhaltype=vnode&x=y", "?%zz"} {
		if status, text := r.genCertif(t, query, csr, token, nil); status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", query, status, text)
		}
	}
	for _, body := range []string{"", "nonsense", csr + csr, strings.Repeat("x", 20_000)} {
		if status, text := r.genCertif(t, asVnode, body, token, nil); status != http.StatusBadRequest {
			t.Errorf("%.20q: %d %s", body, status, text)
		}
	}
	if status, _ := r.genCertif(t, asVnode, csr, "", nil); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	// Of many machines with one single-use token at once one joins.
	var mu sync.Mutex
	var got []string
	var wg sync.WaitGroup
	for range 8 {
		_, csr := newRequest(t)
		wg.Go(func() {
			status, text := r.genCertif(t, asVnode, csr, token, nil)
			mu.Lock()
			defer mu.Unlock()
			if status == http.StatusOK {
				got = append(got, csr, text)
			}
		})
	}
	wg.Wait()
	if len(got) != 2 {
		t.Fatalf("%d machines joined", len(got)/2)
	}
	// The same key gets the same answer again.
	status, again := r.genCertif(t, asVnode, got[0], token, nil)
	if status != http.StatusOK || again != got[1] {
		t.Errorf("asked again: %d", status)
	}
	leaf := leafOf(t, again)
	if leaf.Subject.CommonName != "client1.example.org" || len(leaf.Subject.OrganizationalUnit) != 1 || leaf.Subject.OrganizationalUnit[0] != "vnode" {
		t.Errorf("%s", leaf.Subject)
	}
}

// In approval mode a bare node waits, asks the same again, and gets its answer.
func TestGenCertif_Approval(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir(), ID: "server.example.org", Enrolment: config.Enrolment{FirstBoot: "approve"}})
	admin := r.client(t, "admin", password)
	key, csr := newRequest(t)
	status, text := r.genCertif(t, asVnode, csr, "", nil)
	word, id, _ := strings.Cut(strings.TrimSpace(text), " ")
	if status != http.StatusAccepted || word != "pending" {
		t.Fatalf("%d %s", status, text)
	}
	call(t, admin, "host_approve", id)
	status, chain := r.genCertif(t, asVnode, csr, "", nil)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, chain)
	}
	// It renews by what it has, and stays who it is.
	next, csr2 := newRequest(t)
	status, renewed := r.genCertif(t, asVnode, csr2, "", certificate(t, chain, key))
	if status != http.StatusOK || leafOf(t, renewed).Subject.CommonName != leafOf(t, chain).Subject.CommonName || !next.PublicKey.Equal(leafOf(t, renewed).PublicKey) {
		t.Errorf("renewed: %d %s", status, renewed)
	}
	call(t, admin, "host_revoke", leafOf(t, chain).Subject.CommonName, "stolen")
	_, csr3 := newRequest(t)
	if status, text := r.genCertif(t, asVnode, csr3, "", certificate(t, renewed, next)); status != http.StatusForbidden {
		t.Errorf("revoked: %d %s", status, text)
	}
}

func TestTunnel(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir(), ID: "server.example.org", Tunnels: []config.Tunnel{{Name: "vpns", Remote: "vpn.example.org"}}})
	admin := r.client(t, "admin", password)
	token, _ := makeToken(t, admin, map[string]any{"uses": 1, "nodeType": "vnode"})
	m := newMachine(t, "pc")
	if status, text := m.join(t, r, token); status != http.StatusOK {
		t.Fatal(text)
	}
	key, csr := newRequest(t)
	ask := func(name string, req any, cert *tls.Certificate, user, secret string) (out tunnel.Answer, status int) {
		status, _ = r.post(t, "/v1/tunnel/"+name, req, &out, cert, user, secret)
		return out, status
	}
	out, status := ask("vpns", tunnel.Request{CSR: csr}, m.cert(t), "", "")
	if status != http.StatusOK || tunnel.Check(out.Config) != nil {
		t.Fatalf("%d %s", status, out.Config)
	}
	leaf := leafOf(t, out.Chain)
	if leaf.Subject.CommonName != m.HostID || len(leaf.URIs) != 1 || leaf.URIs[0].String() != "fernwerk:tunnel:vpns:"+m.HostID {
		t.Errorf("%s %v", leaf.Subject, leaf.URIs)
	}
	if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days > 7.5 {
		t.Errorf("it lives %v days", days)
	}
	own := tunnel.Request{CSR: m.csr}
	for name, got := range map[string]int{
		"another tunnel":       second(ask("other", tunnel.Request{CSR: csr}, m.cert(t), "", "")),
		"no tunnel's name":     second(ask("V", tunnel.Request{CSR: csr}, m.cert(t), "", "")),
		"nobody":               second(ask("vpns", tunnel.Request{CSR: csr}, nil, "", "")),
		"the host key":         second(ask("vpns", tunnel.Request{CSR: csr}, nil, m.HostID, m.HostKey)),
		"an administrator":     second(ask("vpns", tunnel.Request{CSR: csr}, nil, "admin", password)),
		"a tunnel certificate": second(ask("vpns", tunnel.Request{CSR: csr}, certificate(t, out.Chain, key), "", "")),
		"the machine's key":    second(ask("vpns", own, m.cert(t), "", "")),
		"no request":           second(ask("vpns", tunnel.Request{CSR: "x"}, m.cert(t), "", "")),
		"unknown fields":       second(ask("vpns", map[string]any{"csr": csr, "life": 1}, m.cert(t), "", "")),
	} {
		if got == http.StatusOK || got >= 500 {
			t.Errorf("%s: %d", name, got)
		}
	}
	call(t, admin, "host_revoke", m.HostID, "stolen")
	if got := second(ask("vpns", tunnel.Request{CSR: csr}, m.cert(t), "", "")); got != http.StatusForbidden {
		t.Errorf("revoked: %d", got)
	}
}

func second[T any](_ T, status int) int { return status }
