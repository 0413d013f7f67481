// Package barenode is the door for machines without an agent: a request for a
// certificate in, as `openssl req` prints it, the certificate out, as
// `openssl x509` reads it, so that a shell script with wget is enough.
//
//	POST /v1/gen_certif?idhaltype=vnode   PEM in, PEM out
//
// It joins like any other machine: by a token in the header X-Fernwerk-Token, or
// with nothing where the server lets machines ask at their first boot; then the
// answer is 202 and one line `pending NUMBER` until somebody agreed. The same key
// asking again gets the same identity. Who shows a certificate of ours, also one
// that is over, gets a new one for the new key and stays who he is.
package barenode

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Token is the header with the token.
const Token = "X-Fernwerk-Token"

// Joins lets machines join.
type Joins interface {
	Join(ctx context.Context, req enrol.JoinRequest, origin store.Origin) (enrol.JoinAnswer, error)
}

// Door answers the requests.
type Door struct {
	Joins Joins
	// Renew certifies a new key for who shows a certificate of ours; shown is false
	// if nobody does.
	Renew func(r *http.Request, csr []byte, origin store.Origin) (chain string, shown bool, err error)
	// Status is the HTTP status of an error.
	Status func(error) int
}

// ServeHTTP answers POST /v1/gen_certif.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, text, err := d.answer(w, r)
	if err != nil {
		status, text = d.Status(err), "error: "+err.Error()
		if status == http.StatusInternalServerError {
			text = "error: internal error (request " + w.Header().Get("X-Request-Id") + ")"
		}
		if hint := fleet.HintOf(err); hint != "" {
			text += " (" + hint + ")"
		}
		text += "\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request) (int, string, error) {
	nodeType, err := nodeTypeOf(r.URL.RawQuery)
	if err != nil {
		return 0, "", err
	}
	csr, err := io.ReadAll(io.LimitReader(r.Body, enrol.MaxRequest+1))
	if err != nil {
		return 0, "", fleet.Errorf(fleet.Invalid, "cannot read the request: %w", err)
	}
	if _, _, err := enrol.ParseRequest(csr); err != nil {
		return 0, "", err
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	origin := store.Origin{Address: address, Request: w.Header().Get("X-Request-Id")}
	chain, shown, err := d.Renew(r, csr, origin)
	if shown || err != nil {
		return http.StatusOK, chain, err
	}
	tokens := r.Header.Values(Token)
	if len(tokens) > 1 {
		return 0, "", fleet.Errorf(fleet.Invalid, "cannot join by %d tokens", len(tokens))
	}
	out, err := d.Joins.Join(r.Context(), enrol.JoinRequest{Token: r.Header.Get(Token), NodeType: nodeType, CSR: string(csr)}, origin)
	switch {
	case err != nil:
		return 0, "", err
	case out.Pending != "":
		return http.StatusAccepted, fmt.Sprintf("pending %s\n", out.Pending), nil
	}
	return http.StatusOK, out.Chain, nil
}

// nodeTypeOf reads the query, which holds the type and nothing else.
func nodeTypeOf(query string) (string, error) {
	q, err := url.ParseQuery(query)
	if err != nil || len(q) != 1 || len(q["idhaltype"]) != 1 {
		return "", fleet.Errorf(fleet.Invalid, "cannot join: the address ends with ?idhaltype=TYPE, such as vnode")
	}
	return q.Get("idhaltype"), enrol.ValidNodeType(q.Get("idhaltype"))
}
