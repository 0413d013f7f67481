package trust

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Encode prints a document without signatures, for keys that sign elsewhere.
func Encode(doc Document) ([]byte, error) { return Sign(doc) }

// Sign prints a document with the signatures of some keys. It refuses what a
// reader would refuse.
func Sign(doc Document, keys ...ed25519.PrivateKey) ([]byte, error) {
	if err := doc.check(); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot sign a document of the role %s: %w", doc.kind(), err)
	}
	body, err := doc.encode()
	if err != nil {
		return nil, err
	}
	h := doc.header()
	body["_type"], body["spec_version"] = doc.kind(), specVersion
	body["version"], body["expires"] = h.Version, h.Expires.UTC().Format(timeForm)
	signed, err := appendCanonical(nil, body)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot sign a document of the role %s: %w", doc.kind(), err)
	}
	return (&envelope{signed: signed}).add(doc.kind(), keys)
}

// AddSignature adds signatures to a document of a role, which stays as it is; a
// key that signed already signs anew. So keys at different places sign one after
// the other.
func AddSignature(role string, data []byte, keys ...ed25519.PrivateKey) ([]byte, error) {
	env, _, _, err := open(role, data)
	if err != nil {
		return nil, err
	}
	return env.add(role, keys)
}

func (e *envelope) add(role string, keys []ed25519.PrivateKey) ([]byte, error) {
	for _, key := range keys {
		public, ok := key.Public().(ed25519.PublicKey)
		if !ok || len(key) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("cannot sign: the key is none of Ed25519")
		}
		s := signature{KeyID(public), ed25519.Sign(key, e.signed)}
		found := false
		for i := range e.signatures {
			if e.signatures[i].keyID == s.keyID {
				e.signatures[i], found = s, true
			}
		}
		if !found {
			e.signatures = append(e.signatures, s)
		}
	}
	if len(e.signatures) > maxSignatures {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot sign: a document has at most %d signatures", maxSignatures)
	}
	list := make([]any, len(e.signatures))
	for i, s := range e.signatures {
		list[i] = map[string]any{"keyid": s.keyID, "sig": hex.EncodeToString(s.sig)}
	}
	out, err := appendCanonical([]byte(`{"signatures":`), list)
	if err != nil {
		return nil, err
	}
	out = append(append(append(out, `,"signed":`...), e.signed...), '}')
	if _, err := canonical(out); err != nil { // too deep, by what a target says of itself
		return nil, fleet.Errorf(fleet.Invalid, "cannot sign a document of the role %s: %w", role, err)
	}
	if int64(len(out)) > MaxSize(role) {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot sign a document of the role %s: it is longer than %d bytes", role, MaxSize(role))
	}
	return out, nil
}

// Signers are the ids of the keys whose signatures a document carries, whether or
// not they are good.
func Signers(role string, data []byte) ([]string, error) {
	env, _, _, err := open(role, data)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(env.signatures))
	for i, s := range env.signatures {
		ids[i] = s.keyID
	}
	return ids, nil
}

// VerifyBy checks a document of a role against keys that a person holds, outside
// of the chain: before it is published.
func VerifyBy(role string, data []byte, keys Keys, r Role) error {
	env, _, _, err := open(role, data)
	if err != nil {
		return err
	}
	return env.verify(role, keys, r)
}
