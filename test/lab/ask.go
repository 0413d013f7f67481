package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// Request sets an action request on the server, with what it depends on.
func (h *Host) Request(product, action string) {
	h.lab.t.Helper()
	h.lab.Call("setProductActionRequestWithDependencies", product, h.ID, action)
}

// Set sets a host parameter on the server.
func (h *Host) Set(parameter string, value any) {
	h.lab.t.Helper()
	h.lab.Call("configState_create", parameter, h.ID, []any{value})
}

// Product is a product's row of this host on the server, nil if there is none.
func (h *Host) Product(id string) fleet.Row {
	h.lab.t.Helper()
	rows := h.lab.Rows("productOnClient_getObjects", []any{}, map[string]any{"clientId": h.ID, "productId": id})
	if len(rows) == 0 {
		return nil
	}
	return rows[0]
}

// State is a product on this host in one line: the server's installation
// status, version, action request and result.
func (h *Host) State(product string) string {
	h.lab.t.Helper()
	r := h.Product(product)
	if r == nil {
		return "nothing"
	}
	return State([]fleet.Row{r})
}

// State is a productOnClient row in one line.
func State(rows []fleet.Row) string {
	if len(rows) != 1 {
		return fmt.Sprintf("%d rows", len(rows))
	}
	r := rows[0]
	return strings.Join([]string{r.Str("installationStatus"), r.Str("productVersion"), r.Str("actionRequest"), r.Str("actionResult")}, " ")
}

// Local is the host's own service over its cache, as a product script reaches it.
func (h *Host) Local() *rpc.Client {
	h.lab.t.Helper()
	return h.ask("/rpc", h.identity().HostKey)
}

// Control is the host's control interface, with a key.
func (h *Host) Control(key string) *rpc.Client {
	h.lab.t.Helper()
	return h.ask("/opsiclientd", key)
}

func (h *Host) ask(path, key string) *rpc.Client {
	h.lab.t.Helper()
	pem, err := os.ReadFile(control.CertPath(h.Dir))
	if err != nil {
		h.lab.t.Fatal(err)
	}
	trust, err := pin.Config("127.0.0.1", pem, "")
	if err != nil {
		h.lab.t.Fatal(err)
	}
	c, err := rpc.NewClient(rpc.Options{URL: "https://" + h.agent.Addr() + path, User: h.ID, TLS: trust, UserAgent: "lab",
		Password: func(context.Context) (string, error) { return key, nil }})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() { c.Logout(context.Background()) })
	return c
}

// LocalCall calls a method of the host's own service: what it changes is the
// host's own doing.
func (h *Host) LocalCall(method string, args ...any) any {
	h.lab.t.Helper()
	v, err := h.Local().Call(h.lab.t.Context(), methods.Actor{}, method, methods.Pos(args...))
	if err != nil {
		h.lab.t.Fatalf("%s: %s: %v", h.ID, method, err)
	}
	return v
}

// LocalRows calls a method of the host's own service that answers with objects.
func (h *Host) LocalRows(method string, args ...any) []fleet.Row {
	h.lab.t.Helper()
	rows, err := rpc.Rows(h.LocalCall(method, args...))
	if err != nil {
		h.lab.t.Fatalf("%s: %s: %v", h.ID, method, err)
	}
	return rows
}

// AsHost is the server as this machine reaches it.
func (h *Host) AsHost() *rpc.Client {
	h.lab.t.Helper()
	id := h.identity()
	c := h.lab.Server.client(id.HostID, id.HostKey)
	h.lab.t.Cleanup(func() { c.Logout(context.Background()) })
	return c
}

func (h *Host) identity() identity.Identity {
	h.lab.t.Helper()
	id, err := identity.Load(h.Dir)
	if err != nil {
		h.lab.t.Fatal(err)
	}
	return id
}

// Key is the host's key.
func (h *Host) Key() string { return h.identity().HostKey }

// Reach makes a host that does not run know the server by a line's near end.
func (h *Host) Reach(p *slowline.Proxy) {
	h.lab.t.Helper()
	id := h.identity()
	id.Server = "https://" + p.Addr().String()
	data, err := json.Marshal(id)
	if err == nil {
		err = os.WriteFile(identity.Path(h.Dir), data, 0o600)
	}
	if err != nil {
		h.lab.t.Fatal(err)
	}
}

// Cached is the folder of a product's copy.
func (h *Host) Cached(product string) string { return filepath.Join(h.Dir, "cache", "depot", product) }

// Login is who the lab's administrator is.
func (l *Lab) Login() (user, secret string) { return admin, password }

// ControlCall calls a method of the host's control interface.
func (h *Host) ControlCall(method string, args ...any) any {
	h.lab.t.Helper()
	v, err := h.Control(h.Key()).Call(h.lab.t.Context(), methods.Actor{}, method, methods.Pos(args...))
	if err != nil {
		h.lab.t.Fatal(err)
	}
	return v
}
