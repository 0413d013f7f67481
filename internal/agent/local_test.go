package agent

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/backend/backendtest"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// The local service takes the config server's part: it passes the suite that
// the server passes, asked by the way that product scripts and opsi's tools take.
func TestLocalService(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	away := httptest.NewTLSServer(nil)
	away.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: away.Certificate().Raw})
	data, err := json.Marshal(identity.Identity{HostID: "pc1.example.org", HostKey: key, Server: away.URL, CA: string(authority)})
	if err == nil {
		err = os.WriteFile(identity.Path(dir), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Config{DataDir: dir, Control: "127.0.0.1:0", BootID: "boot", Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the agent stopped with %v", err)
		}
	})
	certificate, err := os.ReadFile(control.CertPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pin.Config("127.0.0.1", certificate, "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := rpc.NewClient(rpc.Options{URL: "https://" + a.Addr() + "/rpc", User: "pc1.example.org", TLS: trust, UserAgent: "test",
		Password: func(context.Context) (string, error) { return key, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Logout(context.Background()) })
	backendtest.Run(t, client)
}
