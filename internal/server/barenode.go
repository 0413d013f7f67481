package server

import (
	"net/http"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server/barenode"
	"github.com/fernwerk/fernwerk/internal/server/httpapi"
)

// bareNodes is the door for machines without an agent.
func (j *joining) bareNodes() http.Handler {
	return &barenode.Door{Joins: j.Enrolment, Status: httpapi.Status, Renew: func(r *http.Request, csr []byte, origin store.Origin) (string, bool, error) {
		holder, shown, err := j.Holds(r)
		if !shown || err != nil {
			return "", shown, err
		}
		key, keyID, err := enrol.ParseRequest(csr)
		if err != nil {
			return "", true, err
		}
		origin.Actor = "host " + holder.HostID
		row, err := j.RenewBy(r.Context(), key, keyID, holder, origin, nil)
		return row.Chain, true, err
	}}
}
