package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// mirror stands between agents and their server.
type mirror struct {
	server *url.URL
	hosts  string
	tls    *tls.Config
	book   book

	mu    sync.Mutex
	lines map[string]*line
}

// line is a way to the true server, as one host.
type line struct {
	serial string // of the host's certificate
	proxy  *httputil.ReverseProxy
}

func newMirror(server, data, hosts string) (*mirror, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	pem := filepath.Join(data, "ca", "server.pem")
	cert, err := tls.LoadX509KeyPair(pem, pem)
	if err != nil {
		return nil, err
	}
	return &mirror{server: u, hosts: hosts, lines: map[string]*line{}, book: book{rules: map[string][]*rule{}},
		tls: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}}, nil
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if host, ok := strings.CutPrefix(r.URL.Path, "/-/rules/"); ok {
		m.book.control(w, r, host)
		return
	}
	host := ""
	if user, _, ok := r.BasicAuth(); ok {
		host = user
	}
	if len(r.TLS.PeerCertificates) > 0 {
		host = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	next := m.line(host)
	if one := m.book.take(host, r.URL.Path); one != nil {
		m.lie(w, r, one, next)
		return
	}
	next.ServeHTTP(w, r)
}

// line is the way to the server with the certificate that the host has now.
func (m *mirror) line(host string) http.Handler {
	m.mu.Lock()
	defer m.mu.Unlock()
	var id struct{ Key, Chain string }
	if data, err := os.ReadFile(filepath.Join(m.hosts, filepath.Base("/"+host), "identity.json")); err == nil {
		json.Unmarshal(data, &id)
	}
	if l := m.lines[host]; l != nil && l.serial == id.Chain {
		return l.proxy
	}
	// Who has the server's disk need not check whom he talks to.
	cfg := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := tls.X509KeyPair([]byte(id.Chain), []byte(id.Key))
		if err != nil {
			return &tls.Certificate{}, nil // none
		}
		return &cert, nil
	}}
	proxy := httputil.NewSingleHostReverseProxy(m.server)
	proxy.Transport = &http.Transport{TLSClientConfig: cfg, DisableCompression: true, MaxIdleConnsPerHost: 4}
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	m.lines[host] = &line{serial: id.Chain, proxy: proxy}
	return proxy
}
