// Package pebble runs Pebble, Let's Encrypt's small ACME authority for tests, with a DNS server
// that finds every name on this machine.
//
// Pebble is a module of its own in server/, so that nothing of it is linked into our programs. It
// is built by the first test that needs it; where its modules cannot be had the test is left out.
package pebble

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/fernwerk/fernwerk/test/require"
)

// Server is a running Pebble.
type Server struct {
	Directory string // URL
	CA        []byte // PEM: authority of the directory's own certificate
	management,
	dir string
	client *http.Client
	end    func()
}

// program builds Pebble, or leaves the test out.
func program(t testing.TB) string {
	t.Helper()
	require.Tool(t, "go")
	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "server")
	if _, err := os.Stat(source); err != nil { // built with -trimpath
		out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/fernwerk/fernwerk/test/require/pebble").Output()
		if err != nil {
			t.Fatal(err)
		}
		source = filepath.Join(string(bytes.TrimSpace(out)), "server")
	}
	program := filepath.Join(t.TempDir(), "pebble")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		require.Skip(t, "Pebble", fmt.Sprintf("it cannot be built: %v\n%s", err, out))
	}
	return program
}

// FreePort is a port of the loopback that nobody listens on now.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Start runs Pebble until the test's end. It comes to tlsPort where the world's would come to 443,
// and to httpPort instead of 80.
func Start(t testing.TB, tlsPort, httpPort int) *Server {
	t.Helper()
	built := program(t)
	dir := t.TempDir()
	ca, cert, key := certificate(t)
	listen, management := FreePort(t), FreePort(t)
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprint("127.0.0.1:", listen), "managementListenAddress": fmt.Sprint("127.0.0.1:", management),
		"certificate": write("cert.pem", cert), "privateKey": write("key.pem", key), "httpPort": httpPort, "tlsPort": tlsPort,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "default", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), built, "-config", write("config.json", config), "-dnsserver", names(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=5")
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	s := &Server{Directory: fmt.Sprintf("https://127.0.0.1:%d/dir", listen), CA: ca, management: fmt.Sprintf("https://127.0.0.1:%d", management), dir: dir,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}},
		end:    func() { cmd.Process.Kill(); <-ended }}
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Logf("Pebble said:\n%s", said.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, err := s.get(s.Directory)
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("Pebble does not answer: %v", err)
		}
		select {
		case <-ended:
			t.Fatalf("Pebble has ended:\n%s", said.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends it.
func (s *Server) Stop() { s.end() }

// Root is the certificate of the authority that signs, in PEM.
func (s *Server) Root(t testing.TB) []byte {
	t.Helper()
	text, err := s.get(s.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *Server) get(url string) ([]byte, error) {
	resp, err := s.client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// certificate is that of the directory, and its authority.
func certificate(t testing.TB) (ca, cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test's directory"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return text, text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// names answers for every name with this machine's loopback, until the test's end. Pebble asks
// over TCP.
func names(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				for answer(conn) == nil {
				}
			})
		}
	})
	return l.Addr().String()
}

// answer answers one question.
func answer(conn net.Conn) error {
	var size uint16
	if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
		return err
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(conn, text); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(text); err != nil || len(m.Questions) != 1 {
		return errors.Join(err, errors.New("no question"))
	}
	q := m.Questions[0]
	out := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true}, Questions: m.Questions}
	if q.Type == dnsmessage.TypeA {
		out.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	}
	packed, err := out.Pack()
	if err == nil {
		_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	}
	return err
}
