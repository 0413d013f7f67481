package trust

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// secret is the ring's name among the cluster's secrets.
const secret = "trust keys"

// online are the roles whose keys the server has.
var online = []string{trust.RoleSnapshot, trust.RoleTimestamp, trust.Depot}

// maxKeys is how many keys of a role are kept: those that the root names, and
// those that the next may.
const maxKeys = 4

// ring holds the seeds of the server's private keys, by role, the newest last.
type ring map[string][][]byte

func newRing() ring {
	r := ring{}
	r.add()
	return r
}

// add makes a new key for every role.
func (r ring) add() {
	for _, role := range online {
		seed := make([]byte, ed25519.SeedSize)
		rand.Read(seed)
		r[role] = append(r[role], seed)
	}
}

// newest are the public keys that were made last.
func (r ring) newest() map[string]string {
	out := map[string]string{}
	for role, seeds := range r {
		key := ed25519.NewKeyFromSeed(seeds[len(seeds)-1])
		out[role] = hex.EncodeToString(key.Public().(ed25519.PublicKey))
	}
	return out
}

// signers are the keys of ours that a role names, as many as it needs.
func (r ring) signers(name string, role trust.Role) ([]ed25519.PrivateKey, error) {
	var out []ed25519.PrivateKey
	for _, seed := range slices.Backward(r[name]) {
		key := ed25519.NewKeyFromSeed(seed)
		if slices.Contains(role.KeyIDs, trust.KeyID(key.Public().(ed25519.PublicKey))) && int64(len(out)) < role.Threshold {
			out = append(out, key)
		}
	}
	if int64(len(out)) < role.Threshold || role.Threshold < 1 {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot sign for the role %s: the keys that are named for it are not this server's", name),
			"name this server's keys with: fernwerk trust rotate online; then: fernwerk trust publish")
	}
	return out, nil
}

// keys reads the ring; nil if there is none.
func (t *Trust) keys(tx *store.Tx) (ring, error) {
	data, err := t.Secrets.Find(tx, secret)
	if err != nil || data == nil {
		return nil, err
	}
	var r ring
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("cannot read the online keys: %w", err)
	}
	for _, role := range online {
		if len(r[role]) == 0 || slices.ContainsFunc(r[role], func(seed []byte) bool { return len(seed) != ed25519.SeedSize }) {
			return nil, fmt.Errorf("cannot use the online keys: there is none for the role %s", role)
		}
	}
	return r, nil
}

func (t *Trust) keep(tx *store.Tx, r ring) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.Secrets.Keep(tx, secret, data)
}

// MakeKeys makes keys that the next root may name, beside those in use. They
// count when that root is published.
func (t *Trust) MakeKeys(ctx context.Context, by store.Origin) (out map[string]string, err error) {
	err = t.Store.Update(ctx, by, func(tx *store.Tx) error {
		s, err := load(tx)
		if err != nil {
			return err
		}
		r, err := t.keys(tx)
		if err != nil {
			return err
		}
		named := s.named()
		for role, seeds := range r { // what was made before and never named is not needed any more
			r[role] = slices.DeleteFunc(seeds, func(seed []byte) bool {
				return !named[trust.KeyID(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))]
			})
			if n := len(r[role]); n >= maxKeys {
				r[role] = r[role][n-maxKeys+1:]
			}
		}
		r.add()
		out = r.newest()
		if err := tx.Note("trust", "keys", "made", nil); err != nil {
			return err
		}
		return t.keep(tx, r)
	})
	return out, err
}

// named are the ids of the keys that the documents name.
func (s *state) named() map[string]bool {
	out := map[string]bool{}
	if s.root != nil {
		for id := range s.root.Keys {
			out[id] = true
		}
	}
	if s.targets != nil {
		for id := range s.targets.Keys {
			out[id] = true
		}
	}
	return out
}
