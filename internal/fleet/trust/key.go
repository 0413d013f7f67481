package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// The roles.
const (
	RoleRoot      = "root"
	RoleTargets   = "targets"
	RoleSnapshot  = "snapshot"
	RoleTimestamp = "timestamp"
	// Depot is the one delegated role that a server holds: for trees that its
	// depot changed after they were signed.
	Depot = "depot"
)

// topRoles are the roles that every root names.
var topRoles = []string{RoleRoot, RoleSnapshot, RoleTargets, RoleTimestamp}

// Key is a public key; Ed25519 only, so that there is nothing to choose wrongly.
type Key = ed25519.PublicKey

// KeyID names a key as TUF does: the SHA-256 of its canonical JSON.
func KeyID(k Key) string {
	text := `{"keytype":"ed25519","keyval":{"public":"` + hex.EncodeToString(k) + `"},"scheme":"ed25519"}`
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Keys are keys by their ids.
type Keys map[string]Key

// Role is whose signatures a document of a role needs, and how many.
type Role struct {
	KeyIDs    []string
	Threshold int64
}

// RoleOf makes a role of some keys, and adds them to the table.
func (k Keys) RoleOf(threshold int64, keys ...Key) Role {
	r := Role{Threshold: threshold}
	for _, key := range keys {
		id := KeyID(key)
		k[id] = key
		r.KeyIDs = append(r.KeyIDs, id)
	}
	return r
}

func (k Keys) encode() map[string]any {
	out := map[string]any{}
	for id, key := range k {
		out[id] = map[string]any{"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": hex.EncodeToString(key)}}
	}
	return out
}

// keys reads a table of keys. A key has one spelling and so one id: one key under
// two ids would count twice for a threshold.
func (d *decoder) keys(v any) Keys {
	out := Keys{}
	for id, v := range d.object("keys", v) {
		k := d.object("keys", v)
		value := d.object("keyval", k["keyval"])
		if k["keytype"] != "ed25519" || k["scheme"] != "ed25519" || len(k) != 3 || len(value) != 1 {
			d.fail("key %s is not of the kind ed25519", clip(id))
			continue
		}
		text := d.text("public", value["public"])
		public, err := hex.DecodeString(text)
		if err != nil || len(public) != ed25519.PublicKeySize || hex.EncodeToString(public) != text || KeyID(public) != id {
			d.fail("key %s does not have the id that it is named by", clip(id))
			continue
		}
		out[id] = public
	}
	return out
}

func (r Role) encode() map[string]any {
	ids := make([]any, len(r.KeyIDs))
	for i, id := range r.KeyIDs {
		ids[i] = id
	}
	return map[string]any{"keyids": ids, "threshold": r.Threshold}
}

func (d *decoder) role(name string, o map[string]any, keys Keys) Role {
	r := Role{Threshold: d.number("threshold", o["threshold"])}
	for _, v := range d.list("keyids", o["keyids"]) {
		r.KeyIDs = append(r.KeyIDs, d.text("keyids", v))
	}
	if err := r.check(keys); err != nil {
		d.fail("the role %s: %w", clip(name), err)
	}
	return r
}

func (r Role) check(keys Keys) error {
	for i, id := range r.KeyIDs {
		if keys[id] == nil {
			return fmt.Errorf("its key %s is not in the table", clip(id))
		}
		if slices.Contains(r.KeyIDs[:i], id) {
			return fmt.Errorf("its key %s is named twice", clip(id))
		}
	}
	if r.Threshold < 1 || r.Threshold > int64(len(r.KeyIDs)) {
		return fmt.Errorf("%d of %d keys cannot be asked for", r.Threshold, len(r.KeyIDs))
	}
	return nil
}
