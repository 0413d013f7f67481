// Package tunnel lets hosts into tunnels. [Tunnels] gives them what they need: a
// short-lived certificate that is good for one tunnel only, and the client's
// configuration. The tunnel itself is somebody else's openvpn, or one that [Server]
// runs here.
//
//	POST /v1/tunnel/NAME {csr} -> {chain, ca, config, tlsCryptV2}
//
// Who asks shows the certificate by which it is a host; neither its host key nor a
// tunnel's certificate is enough. Revoking the host ends these certificates too:
// they are on the same list.
//
// A Server writes openvpn's configuration into a folder of its own (mode 0700),
// starts it, and is asked over its socket who may come in. openvpn is a process by
// itself: it goes on when fernwerkd ends, and the next fernwerkd takes it over. Each
// decision is made by the database at that moment: the certificate on record, for this
// tunnel, of a host that was not revoked; one address for one host. What was decided is
// looked at again whenever an identity ends, so that who is revoked is out at once.
// Presence hears who is there, and hears the whole of it after each connection to
// openvpn: what was missed meanwhile is no loss.
//
//	DIR/server.conf  DIR/ca.crt  DIR/server.crt  DIR/server.key  DIR/crl.pem
//	DIR/tls-crypt-v2.key  DIR/management.sock  DIR/openvpn.log
//	DIR/running      what the openvpn that runs was started with
package tunnel

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// Tunnels gives credentials for the tunnels that are configured.
type Tunnels struct {
	Store *store.Store
	All   []tunnel.Settings
	// Host says which host a request's certificate is of; Denied without one that
	// counts now.
	Host func(*http.Request) (string, error)
	// Certify signs for a host, as what it is.
	Certify func(tx *store.Tx, csr []byte, hostID, name string) (enrol.Certificate, error)
	Roots   func() []byte
	// Seal is the key of tls-crypt-v2 of a tunnel that is served here.
	Seal func(name string) openvpn.Seal
	Now  func() time.Time

	mu    sync.Mutex
	asked map[string][]time.Time // by tunnel and host: within the last hour
}

// burst is how often a host gets a certificate of one tunnel in an hour; it needs
// one in several days.
const burst = 10

// takes counts a request; one too many is Unavailable, before anything is written.
func (t *Tunnels) takes(host, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, key := t.Now(), name+" "+host
	old := func(at time.Time) bool { return now.Sub(at) >= time.Hour || at.After(now) }
	if t.asked == nil {
		t.asked = map[string][]time.Time{}
	}
	for k, all := range t.asked { // who asks is few: a fleet renews over days
		if old(all[len(all)-1]) {
			delete(t.asked, k)
		}
	}
	all := slices.DeleteFunc(t.asked[key], old)
	if len(all) >= burst {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot give credentials of tunnel %s: %s got %d within an hour", name, host, len(all)), "ask again in an hour")
	}
	t.asked[key] = append(all, now)
	return nil
}

// Credentials answers POST /v1/tunnel/{name}.
func (t *Tunnels) Credentials(w http.ResponseWriter, r *http.Request) (any, int, error) {
	name := r.PathValue("name")
	if err := enrol.ValidTunnel(name); err != nil {
		return nil, 0, err
	}
	host, err := t.Host(r)
	if err != nil {
		return nil, 0, err
	}
	var s *tunnel.Settings
	for i := range t.All {
		if t.All[i].Name == name {
			s = &t.All[i]
		}
	}
	if s == nil {
		return nil, 0, fleet.WithHint(fleet.Errorf(fleet.NotFound, "there is no tunnel %s", name), "the server's configuration lists them as [[tunnel]]")
	}
	config, err := s.Render()
	if err != nil {
		return nil, 0, err
	}
	var req tunnel.Request
	body, err := io.ReadAll(io.LimitReader(r.Body, 2*enrol.MaxRequest))
	if err != nil {
		return nil, 0, fleet.Errorf(fleet.Invalid, "cannot read the request: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return nil, 0, fleet.Errorf(fleet.Invalid, "cannot read the request: %w", err)
	}
	if err := t.takes(host, name); err != nil {
		return nil, 0, err
	}
	var made enrol.Certificate
	err = t.Store.Update(r.Context(), store.Origin{Actor: "host " + host, Request: w.Header().Get("X-Request-Id")}, func(tx *store.Tx) error {
		made, err = t.Certify(tx, []byte(req.CSR), host, name)
		if err != nil {
			return err
		}
		return tx.Note(fleet.Hosts.Name, host, "tunnel", fleet.Row{"tunnel": name, "serial": made.Serial})
	})
	if err != nil {
		return nil, 0, err
	}
	answer := tunnel.Answer{Chain: string(made.Chain), CA: string(t.Roots()), Config: config}
	if s.Served {
		key, err := t.Seal(name).Client(host)
		if err != nil {
			return nil, 0, err
		}
		answer.Seal = string(key)
	}
	return answer, http.StatusOK, nil
}
