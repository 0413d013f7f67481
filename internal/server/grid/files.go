package grid

import (
	"fmt"
	"net/http"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	content "github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/server/enrolment"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/nodefile"
	"github.com/fernwerk/fernwerk/internal/server/presence"
)

// filesEvery is how often a node asks for its files, besides when it came up.
const filesEvery = 5 * time.Minute

// openFiles makes the part that has the files of nodes.
func (g *Grid) openFiles() {
	g.files = nodefile.New(nodefile.Config{Store: g.Store, Vault: g.Vault, Signed: g.Signed, Every: filesEvery, Log: g.Log,
		Identity: func(tx *store.Tx, hostID string) (string, bool, error) {
			row, err := identity.Get(tx, hostID)
			return row.NodeType, row.HostID != "" && row.Revoked == "", err
		},
		Claimed: func(tx *store.Tx, hostID string) (bool, error) {
			row, err := identity.Get(tx, hostID)
			return row.TypeSaid, err
		},
		Names: func(tx *store.Tx) (map[string][]string, error) {
			names := map[string][]string{}
			for n, err := range presence.Desired(tx) {
				if err != nil {
					return nil, err
				}
				names[n.HostID] = []string{n.Name, n.Address.String()}
			}
			return names, nil
		}})
}

// askFiles answers POST /v1/files.
func (g *Grid) askFiles(_ http.ResponseWriter, r *http.Request) (any, int, error) {
	hostID, err := g.Host(r)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot tell a host of files: %w", err)
	}
	var req content.Request
	if err := enrolment.Body(r, &req); err != nil {
		return nil, 0, err
	}
	out, err := g.files.Ask(r.Context(), hostID, req)
	return out, http.StatusOK, err
}

// fileBlob answers POST /v1/files/blob.
func (g *Grid) fileBlob(_ http.ResponseWriter, r *http.Request) (any, int, error) {
	hostID, err := g.Host(r)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot give a host a file: %w", err)
	}
	var req content.BlobRequest
	if err := enrolment.Body(r, &req); err != nil {
		return nil, 0, err
	}
	blob, err := g.files.Blob(r.Context(), hostID, req.SHA256)
	return content.BlobAnswer{Blob: blob}, http.StatusOK, err
}
