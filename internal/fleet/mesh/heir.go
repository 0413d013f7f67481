package mesh

import (
	"bytes"
	"crypto/ed25519"
	"slices"
)

// An authority of the mesh is followed by another one, by and by: first nodes learn to
// take certificates of both, then they get one of the new, then the old one counts no
// more. A node that slept over all of it knows the old one only. It finds the new one
// by the word that the old one left about its heir.

// MaxHeirs is how many authorities of the past are known.
const MaxHeirs = 32

// Heir is an authority's word about the one that follows it.
type Heir struct {
	Of        []byte `json:"of"`  // Ed25519
	Key       []byte `json:"key"` // of the heir
	Signature []byte `json:"signature"`
}

// heirWords begin what is signed.
var heirWords = []byte("fernwerk mesh heir 1\n")

// HeirText is what an authority signs of its heir.
func HeirText(key []byte) []byte { return slices.Concat(heirWords, key) }

// follows tells whether the map's authority is one, or followed it.
func (s Signed) follows(key []byte) bool {
	for range MaxHeirs + 1 {
		if bytes.Equal(key, s.Key) {
			return true
		}
		i := slices.IndexFunc(s.Heirs, func(h Heir) bool { return bytes.Equal(h.Of, key) })
		if i < 0 || len(s.Heirs[i].Key) != ed25519.PublicKeySize || !ed25519.Verify(key, HeirText(s.Heirs[i].Key), s.Heirs[i].Signature) {
			return false
		}
		key = s.Heirs[i].Key
	}
	return false
}

// Rotation is how far one authority has taken another's place.
type Rotation struct {
	Stage Stage
	Until string // RFC 3339: how long the authority is good that signs
	// Waiting are the hosts that stage waits for.
	Waiting []string
}

// Stage is a step of a rotation.
type Stage string

// The stages: there is one authority; nodes learn of the next; nodes get certificates
// of the next.
const (
	Settled  Stage = "settled"
	Learning Stage = "learning"
	Moving   Stage = "moving"
)
