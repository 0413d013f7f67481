package port

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// Trust holds what was signed about content (package fleet/trust), and signs
// what a server answers for by itself. Errors carry a fleet.Code.
type Trust interface {
	// Documents are the documents that hosts fetch now, with all roots from a
	// version on.
	Documents(ctx context.Context, rootsFrom int64) (*TrustDocuments, error)
	// Publish takes documents that were signed offline, and contents. It does all
	// or nothing.
	Publish(ctx context.Context, by store.Origin, p TrustPublication) (*TrustPublished, error)
	// MakeKeys makes online keys for the next root to name, and returns the public
	// ones by role, in hexadecimal.
	MakeKeys(ctx context.Context, by store.Origin) (map[string]string, error)
	// Content is what a target with content holds.
	Content(tx *store.Tx, sha256 string) ([]byte, error)
	// Follow has the role depot follow the trees that depots have, within the
	// transaction that changed them.
	Follow(tx *store.Tx) error
	// Judge says who signed the tree that a depot has of a product.
	Judge(tx *store.Tx, depot, product string) (*TrustJudgement, error)
}

// TrustDocuments are the newest documents as they were signed, "" where there is
// none yet.
type TrustDocuments struct {
	Roots     []string `json:"roots"` // by version
	Targets   string   `json:"targets"`
	Depot     string   `json:"depot"`
	Snapshot  string   `json:"snapshot"`
	Timestamp string   `json:"timestamp"`
	// Online are the public keys that the server made last, by role.
	Online map[string]string `json:"online"`
	// Contents are the SHA-256 of what the server holds for targets.
	Contents []string `json:"contents"`
}

// TrustPublication is what an administrator hands in. Contents may come ahead of
// the document that names them.
type TrustPublication struct {
	Roots    []string // those that the server lacks, by version
	Targets  string   // "" for none
	Contents [][]byte
}

// TrustPublished says what counts afterwards, by version, and 0 where there is
// no document.
type TrustPublished struct {
	Root      int64 `json:"root"`
	Targets   int64 `json:"targets"`
	Depot     int64 `json:"depot"`
	Snapshot  int64 `json:"snapshot"`
	Timestamp int64 `json:"timestamp"`
}

// The ways in which a tree on a depot is signed.
const (
	SignedOffline = "offline" // it is what was signed offline
	SignedByDepot = "depot"   // it differs from that, and the server signed it
	SignedByNone  = "none"
)

// TrustJudgement says who signed a tree, and which hosts of the depot refuse it
// by what they last said of their policy.
type TrustJudgement struct {
	Signed string `json:"signed"`
	Known  bool   `json:"known"` // the server has a trust root
	// Platforms for which it is signed.
	Platforms []string `json:"platforms"`
	Refused   []string `json:"refused"` // at most 100; there are Refusing
	Refusing  int      `json:"refusing"`
	Silent    int      `json:"silent"` // hosts of the depot that never told their policy
}
