package lab

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server"
)

const (
	admin    = "admin"
	password = "correct horse battery"

	// Password is the administrator's, for programs of others.
	Password = password
)

// Server is the lab's server, that can be stopped and started again.
type Server struct {
	Dir string // its data folder; another one is used from the next Start on
	ID  string // host id of the config server
	// HostControl counts from the next Start on.
	HostControl server.HostControl
	Now         func() time.Time // its clock, from the next Start on; nil is the machine's

	lab    *Lab
	listen string // the same after the first start
	cancel context.CancelFunc
	done   chan error
}

// URL is where the server answers: https://127.0.0.1:PORT.
func (s *Server) URL() string { return "https://" + s.listen }

// Start starts the server on its data folder, at the address it had before.
func (s *Server) Start() {
	s.lab.t.Helper()
	made, err := server.New(context.WithoutCancel(s.lab.t.Context()), server.Config{Data: s.Dir, Listen: s.listen, AdminPassword: password, Version: "lab", HostControl: s.HostControl, Now: s.Now, Log: s.lab.Log.logger("server")})
	if err != nil {
		s.lab.t.Fatal(err)
	}
	s.listen, s.ID = strings.TrimPrefix(made.URL(), "https://"), made.ID()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan error, 1)
	go func() { s.done <- made.Serve(ctx) }()
}

// Stop stops the server, if it runs: nobody listens at its address then.
func (s *Server) Stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	if err := <-s.done; err != nil {
		s.lab.t.Errorf("the server stopped with %v", err)
	}
	s.cancel = nil
	// The administrator's next call takes no connection that has just ended.
	if t, ok := s.lab.admin.Transport().(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Backup stops the server, copies its data folder and starts it again. The
// copy can become the server's Dir while it is stopped.
func (s *Server) Backup() (dir string) {
	s.lab.t.Helper()
	s.Stop()
	dir = filepath.Join(s.lab.t.TempDir(), "backup")
	if err := os.CopyFS(dir, os.DirFS(s.Dir)); err != nil {
		s.lab.t.Fatal(err)
	}
	s.Start()
	return dir
}

// Depot is a product's folder on the depot.
func (s *Server) Depot(product string) string { return filepath.Join(s.Dir, "depot", product) }

func (s *Server) authority() []byte {
	s.lab.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir, "ca", "ca.pem"))
	if err != nil {
		s.lab.t.Fatal(err)
	}
	return data
}

func (s *Server) fingerprint() string {
	block, _ := pem.Decode(s.authority())
	if block == nil {
		s.lab.t.Fatal("the authority's certificate is none")
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

func (s *Server) trust() *tls.Config {
	cfg, err := pin.Config("127.0.0.1", s.authority(), "")
	if err != nil {
		s.lab.t.Fatal(err)
	}
	return cfg
}

// client is a connection as somebody.
func (s *Server) client(user, password string) *rpc.Client {
	c, err := rpc.NewClient(rpc.Options{URL: s.URL(), User: user, TLS: s.trust(), UserAgent: "lab",
		Password: func(context.Context) (string, error) { return password, nil }})
	if err != nil {
		s.lab.t.Fatal(err)
	}
	return c
}

// do sends a request beside the methods as the administrator.
func (s *Server) do(req *http.Request) *http.Response {
	s.lab.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.trust(), DisableKeepAlives: true}}
	req.SetBasicAuth(admin, password)
	resp, err := client.Do(req)
	if err != nil {
		s.lab.t.Fatal(err)
	}
	return resp
}

// Client is the server's /rpc as somebody.
func (s *Server) Client(user, password string) *rpc.Client {
	s.lab.t.Helper()
	return s.client(user, password)
}

// Get asks for a path beside the methods as somebody.
func (s *Server) Get(path, user, password string) *http.Response {
	s.lab.t.Helper()
	req, err := http.NewRequestWithContext(s.lab.t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		s.lab.t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.trust(), DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		s.lab.t.Fatal(err)
	}
	s.lab.t.Cleanup(func() { resp.Body.Close() })
	return resp
}
