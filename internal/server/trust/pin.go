package trust

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Pin is the root document that counts, as tokens and answers to joins carry it:
// whoever joins by it begins there. Nil: nobody has made one.
func (t *Trust) Pin(tx *store.Tx) (*enrol.Root, error) {
	s, err := load(tx)
	if err != nil || s.root == nil {
		return nil, err
	}
	version := s.root.Version
	sum := sha256.Sum256(s.roots[version])
	return &enrol.Root{Version: version, SHA256: hex.EncodeToString(sum[:])}, nil
}
