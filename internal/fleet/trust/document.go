package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxSignatures is how many signatures a document may carry.
const maxSignatures = 64

// MaxSize is the most bytes of a role's document; a delegated role's is that of
// targets.
func MaxSize(role string) int64 {
	switch role {
	case RoleRoot:
		return 256 << 10
	case RoleTimestamp:
		return 16 << 10
	case RoleSnapshot:
		return 256 << 10
	}
	return 8 << 20
}

// Header is what every document has.
type Header struct {
	Version int64
	Expires time.Time // whole seconds, UTC
}

// A Document is one of [Root], [Targets], [Snapshot], [Timestamp].
type Document interface {
	kind() string
	header() *Header
	encode() (map[string]any, error) // what is signed, without the header
	check() error                    // what a parser would refuse
}

// specVersion is the version of TUF's specification that documents name.
const specVersion = "1.0.31"

// timeForm is how documents write a time.
const timeForm = "2006-01-02T15:04:05Z"

// envelope is a document as it came: its bytes, those of them that are signed, and
// who signed.
type envelope struct {
	raw, signed []byte
	signatures  []signature
}

type signature struct {
	keyID string
	sig   []byte
}

// open parses the outer form of a role's document, and its header.
func open(role string, data []byte) (*envelope, *decoder, Header, error) {
	fail := func(err error) (*envelope, *decoder, Header, error) {
		return nil, nil, Header{}, fleet.Errorf(fleet.Invalid, "cannot read a document of the role %s: %w", role, err)
	}
	if int64(len(data)) > MaxSize(role) {
		return fail(fmt.Errorf("it is longer than %d bytes", MaxSize(role)))
	}
	outer, err := canonical(data)
	if err != nil {
		return fail(err)
	}
	d := &decoder{}
	env := &envelope{raw: bytes.Clone(data), signatures: d.signatures(outer["signatures"])}
	body := d.object("signed", outer["signed"])
	if len(outer) != 2 {
		d.fail("it holds more than what is signed and the signatures")
	}
	h := Header{Version: d.number("version", body["version"]), Expires: d.time("expires", body["expires"])}
	if h.Version < 1 {
		d.fail("its version is %d", h.Version)
	}
	want := role
	if MaxSize(role) == MaxSize(RoleTargets) {
		want = RoleTargets // delegated roles have documents of that kind
	}
	if kind := d.text("_type", body["_type"]); kind != want {
		d.fail("it is a %q", clip(kind))
	}
	if spec := d.text("spec_version", body["spec_version"]); !strings.HasPrefix(spec, "1.") {
		d.fail("it follows version %q of the specification", clip(spec))
	}
	if d.err == nil { // what is signed stands before the last brace, as it prints
		var signed []byte
		signed, d.err = appendCanonical(nil, body)
		end := len(env.raw) - 1
		if start := end - len(signed); d.err == nil && start > 0 && bytes.Equal(env.raw[start:end], signed) {
			env.signed = env.raw[start:end]
		} else {
			d.fail("what is signed does not stand at its end")
		}
	}
	if d.err != nil {
		return fail(d.err)
	}
	d.body = body
	return env, d, h, nil
}

func (d *decoder) signatures(v any) (out []signature) {
	list := d.list("signatures", v)
	if len(list) > maxSignatures {
		d.fail("it has more than %d signatures", maxSignatures)
		return nil
	}
	seen := map[string]bool{}
	for _, v := range list {
		o := d.object("signatures", v)
		s := signature{keyID: d.text("keyid", o["keyid"])}
		text := d.text("sig", o["sig"])
		var err error
		if s.sig, err = hex.DecodeString(text); err != nil || hex.EncodeToString(s.sig) != text || seen[s.keyID] {
			d.fail("the signature of key %s is there twice, or not in hexadecimal", clip(s.keyID))
		}
		seen[s.keyID] = true
		out = append(out, s)
	}
	return out
}

// verify counts the signatures of distinct keys of a role. What other keys signed
// does not count, and does no harm.
func (e *envelope) verify(name string, keys Keys, role Role) error {
	good := map[string]bool{} // by the key itself
	for _, s := range e.signatures {
		for _, id := range role.KeyIDs {
			if key := keys[id]; id == s.keyID && key != nil && ed25519.Verify(key, e.signed, s.sig) {
				good[string(key)] = true
			}
		}
	}
	if int64(len(good)) < role.Threshold || role.Threshold < 1 {
		return fleet.Errorf(fleet.Denied, "%d of the %d signatures that the role %s needs", len(good), role.Threshold, name)
	}
	return nil
}

// decoder reads the parts of a document and keeps the first fault.
type decoder struct {
	body map[string]any
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) object(what string, v any) map[string]any {
	o, ok := v.(map[string]any)
	if !ok {
		d.fail("%s is no object", what)
	}
	return o
}

func (d *decoder) list(what string, v any) []any {
	l, ok := v.([]any)
	if !ok {
		d.fail("%s is no list", what)
	}
	return l
}

func (d *decoder) text(what string, v any) string {
	s, ok := v.(string)
	if !ok {
		d.fail("%s is no text", what)
	}
	return s
}

func (d *decoder) number(what string, v any) int64 {
	n, ok := v.(int64)
	if !ok {
		d.fail("%s is no number", what)
	}
	return n
}

func (d *decoder) time(what string, v any) time.Time {
	text := d.text(what, v)
	t, err := time.Parse(timeForm, text)
	if err != nil || t.Format(timeForm) != text {
		d.fail("%s is not a time such as 2026-01-31T00:00:00Z", what)
	}
	return t
}

// hash reads a table of digests, of which SHA-256 must be one.
func (d *decoder) hash(v any) (sum [32]byte) {
	text := d.text("the digest sha256", d.object("hashes", v)["sha256"])
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != len(sum) || hex.EncodeToString(data) != text {
		d.fail("a digest is not 64 hexadecimal digits")
		return sum
	}
	return [32]byte(data)
}

func encodeHash(sum [32]byte) map[string]any {
	return map[string]any{"sha256": hex.EncodeToString(sum[:])}
}

var errVersion = errors.New("its version must be 1 or more")

func (h *Header) checkHeader() error {
	switch {
	case h.Version < 1 || h.Version > maxNumber:
		return errVersion
	case h.Expires.Year() < 1 || h.Expires.Year() > 9999:
		return errors.New("its expiry is no year of four digits")
	}
	return nil
}
