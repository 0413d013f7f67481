package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server"
)

// Branch is a depot server of the lab's server, that can be stopped and started
// again.
type Branch struct {
	ID, Dir string
	Now     func() time.Time // its clock, from the next Start on; nil is the machine's

	lab    *Lab
	print  string // of the authority that its configuration names
	listen string
	cancel context.CancelFunc
	done   chan error
}

// DepotKey is the host key of every branch.
const DepotKey = "00112233445566778899aabbccddeeff"

// Branch makes a depot server known to the lab's server and starts it.
func (l *Lab) Branch(name string) *Branch {
	l.t.Helper()
	b := &Branch{ID: name + ".example.org", Dir: filepath.Join(l.t.TempDir(), name), lab: l, print: l.Server.fingerprint(), listen: "127.0.0.1:0"}
	l.Call("host_createObjects", fleet.Row{"type": fleet.OpsiDepotserver, "id": b.ID, "opsiHostKey": DepotKey, "isMasterDepot": true})
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, "host.key"), []byte(DepotKey+"\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
	b.Start()
	l.t.Cleanup(b.Stop)
	return b
}

// Start starts the depot server, at the address it had before.
func (b *Branch) Start() {
	b.lab.t.Helper()
	if err := b.TryStart(); err != nil {
		b.lab.t.Fatal(err)
	}
}

// TryStart is Start where that may be refused.
func (b *Branch) TryStart() error {
	made, err := server.New(context.WithoutCancel(b.lab.t.Context()), server.Config{Data: b.Dir, Listen: b.listen, Version: "lab", Log: b.lab.Log.logger(b.ID),
		ID: b.ID, ConfigServer: b.lab.Server.URL(), CAFingerprint: b.print, Now: b.Now})
	if err != nil {
		return err
	}
	b.listen = strings.TrimPrefix(made.URL(), "https://")
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan error, 1)
	go func() { b.done <- made.Serve(ctx) }()
	return nil
}

// Stop stops the depot server, if it runs.
func (b *Branch) Stop() {
	if b.cancel == nil {
		return
	}
	b.cancel()
	if err := <-b.done; err != nil {
		b.lab.t.Errorf("%s stopped with %v", b.ID, err)
	}
	b.cancel = nil
}

// URL is where the depot server answers.
func (b *Branch) URL() string { return "https://" + b.listen }

// Do sends a request as somebody.
func (b *Branch) Do(method, path, user, password string, body io.Reader) *http.Response {
	b.lab.t.Helper()
	req, err := http.NewRequestWithContext(b.lab.t.Context(), method, b.URL()+path, body)
	if err != nil {
		b.lab.t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: b.lab.Server.trust(), DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.lab.t.Fatal(err)
	}
	b.lab.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// Admin sends a request as the administrator and reads the whole answer.
func (b *Branch) Admin(method, path string, body io.Reader) (status int, text string) {
	b.lab.t.Helper()
	resp := b.Do(method, path, admin, password, body)
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.lab.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// Client is the depot server's /rpc as somebody.
func (b *Branch) Client(user, password string) *rpc.Client {
	b.lab.t.Helper()
	c, err := rpc.NewClient(rpc.Options{URL: b.URL(), User: user, TLS: b.lab.Server.trust(), UserAgent: "lab",
		Password: func(context.Context) (string, error) { return password, nil }})
	if err != nil {
		b.lab.t.Fatal(err)
	}
	return c
}

// AdminClient is the depot server's /rpc as the administrator.
func (b *Branch) AdminClient() *rpc.Client { return b.Client(admin, password) }

// Pulled is what a depot says of a copy.
type Pulled struct {
	Product        string `json:"product"`
	ProductVersion string `json:"productVersion"`
	Same           bool   `json:"same"`
	Bytes          int64  `json:"bytes"`
	Seeded         int64  `json:"seeded"`
	Fetched        int64  `json:"fetched"`
	Wire           int64  `json:"wire"`
}

// Pull has the depot copy a product from another one.
func (b *Branch) Pull(product, from string) (Pulled, error) {
	b.lab.t.Helper()
	_, text := b.Admin("POST", "/v1/packages/"+product+"/pull?from="+url.QueryEscape(from), nil)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var last struct {
		Result Pulled
		Error  *struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		b.lab.t.Fatalf("pull: %v: %s", err, text)
	}
	if last.Error != nil {
		return Pulled{}, fmt.Errorf("%s: %s", last.Error.Code, last.Error.Message)
	}
	return last.Result, nil
}

// Source is a product as a client of the depot fetches it.
func (b *Branch) Source(product, user, password string) *transfer.HTTP {
	b.lab.t.Helper()
	trust, err := pin.Config("127.0.0.1", b.lab.Server.authority(), "")
	if err != nil {
		b.lab.t.Fatal(err)
	}
	return &transfer.HTTP{Base: b.URL(), Product: product, Client: &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}},
		Prepare: func(r *http.Request) error { r.SetBasicAuth(user, password); return nil }}
}

// Depot is a product's folder on the depot server.
func (b *Branch) Depot(product string) string { return filepath.Join(b.Dir, "depot", product) }
