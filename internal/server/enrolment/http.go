package enrolment

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
)

// HTTP answers /v1/join and /v1/renew: each returns what is to be said, with which status.
type HTTP struct {
	*Enrolment
	// ByKey says which host sends a request by its host key.
	ByKey func(http.ResponseWriter, *http.Request) (methods.Actor, error)
}

// Join answers POST /v1/join.
func (h HTTP) Join(w http.ResponseWriter, r *http.Request) (any, int, error) {
	var req enrol.JoinRequest
	if err := Body(r, &req); err != nil {
		return nil, 0, err
	}
	out, err := h.Enrolment.Join(r.Context(), req, store.Origin{Address: address(r), Request: w.Header().Get("X-Request-Id")})
	if out.Pending != "" {
		return out, http.StatusAccepted, err
	}
	return out, http.StatusOK, err
}

// Renew answers POST /v1/renew. The certificate may be over; a host that has none
// yet gets its first one by its host key, which is all that it has. A depot server gets
// one by its host key whenever that opens: nobody else has to go there then.
func (h HTTP) Renew(w http.ResponseWriter, r *http.Request) (any, int, error) {
	var req enrol.Renewal
	if err := Body(r, &req); err != nil {
		return nil, 0, err
	}
	key, keyID, err := enrol.ParseRequest([]byte(req.CSR))
	if err != nil {
		return nil, 0, err
	}
	holder, shown, err := h.cfg.Identities.Holds(r)
	if err != nil {
		return nil, 0, err
	}
	if !shown {
		actor, err := h.ByKey(w, r)
		if err != nil {
			return nil, 0, err
		}
		if actor.Role != methods.Host && actor.Role != methods.Depot {
			return nil, 0, fleet.Errorf(fleet.Denied, "cannot certify %s %s: it is no host", actor.Role, actor.ID)
		}
		holder.HostID, holder.Role = actor.ID, actor.Role
	}
	origin := store.Origin{Actor: "host " + holder.HostID, Address: address(r), Request: w.Header().Get("X-Request-Id")}
	row, err := h.cfg.Identities.RenewBy(r.Context(), key, keyID, holder, origin, func(tx *store.Tx) error {
		if shown {
			return nil
		}
		row, err := identity.Get(tx, holder.HostID) // may have joined meanwhile
		switch {
		case err != nil || row.Serial == "":
		case holder.Role == methods.Depot && !row.KeyOff: // its key opens all that its certificate does
		default:
			err = fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot certify %s by its host key: it has a certificate", holder.HostID), "join again with a new token: fernwerk-agent join --again TOKEN")
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return enrol.Renewed{Chain: row.Chain, Roots: string(h.cfg.Roots())}, http.StatusOK, nil
}

// Body reads a request; the route bounds its size.
func Body(r *http.Request, into any) error {
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(http.MaxBytesReader(nil, r.Body, enrol.MaxBody)); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot read the request: %w", err)
	}
	d := json.NewDecoder(&raw)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot read the request: %w", err)
	}
	return nil
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
