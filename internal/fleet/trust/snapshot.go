package trust

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Meta says which document of a role is meant. We always write length and digest;
// TUF lets others leave them out.
type Meta struct {
	Version int64
	Length  int64    // 0: not said
	SHA256  [32]byte // zero: not said
}

// MetaOf is what a snapshot or timestamp says of a document.
func MetaOf(version int64, data []byte) Meta {
	return Meta{Version: version, Length: int64(len(data)), SHA256: sha256.Sum256(data)}
}

// Limit is the most bytes to fetch of a role's document.
func (m Meta) Limit(role string) int64 {
	if m.Length > 0 && m.Length < MaxSize(role) {
		return m.Length
	}
	return MaxSize(role)
}

// matches says whether bytes can be the document that is meant.
func (m Meta) matches(data []byte) error {
	if m.Length > 0 && int64(len(data)) != m.Length {
		return fleet.Errorf(fleet.Denied, "it has %d bytes, and %d are announced", len(data), m.Length)
	}
	if m.SHA256 != ([32]byte{}) && sha256.Sum256(data) != m.SHA256 {
		return fleet.Errorf(fleet.Denied, "its digest is not the announced one")
	}
	return nil
}

func (m Meta) check() error {
	if m.Version < 1 || m.Length < 0 {
		return fmt.Errorf("it announces version %d of %d bytes", m.Version, m.Length)
	}
	return nil
}

func (m Meta) encode() map[string]any {
	o := map[string]any{"version": m.Version}
	if m.Length > 0 {
		o["length"] = m.Length
	}
	if m.SHA256 != ([32]byte{}) {
		o["hashes"] = encodeHash(m.SHA256)
	}
	return o
}

// metas reads the table of file names, and gives it by role.
func (d *decoder) metas(v any) map[string]Meta {
	out := map[string]Meta{}
	for file, v := range d.object("meta", v) {
		o := d.object("meta", v)
		m := Meta{Version: d.number("version", o["version"])}
		if length, ok := o["length"]; ok {
			m.Length = d.number("length", length)
		}
		if hashes, ok := o["hashes"]; ok {
			m.SHA256 = d.hash(hashes)
		}
		role, ok := strings.CutSuffix(file, ".json")
		if !ok || !delegatedName.MatchString(role) {
			d.fail("%q is no name of a document", clip(file))
		}
		if err := m.check(); err != nil {
			d.fail("%s: %w", clip(file), err)
		}
		out[role] = m
	}
	return out
}

// Snapshot binds the newest versions of all lists together, so that nobody can mix
// old and new ones.
type Snapshot struct {
	Header
	Meta map[string]Meta // by role: targets, and each delegated one
	env  *envelope
}

// ParseSnapshot reads a snapshot; it does not verify its signatures.
func ParseSnapshot(data []byte) (*Snapshot, error) {
	env, d, h, err := open(RoleSnapshot, data)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Header: h, Meta: d.metas(d.body["meta"]), env: env}
	if d.err == nil {
		d.err = s.check()
	}
	if d.err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read a snapshot: %w", d.err)
	}
	return s, nil
}

// Raw is the document as it came, with its signatures.
func (s *Snapshot) Raw() []byte { return s.env.raw }

func (s *Snapshot) kind() string    { return RoleSnapshot }
func (s *Snapshot) header() *Header { return &s.Header }

func (s *Snapshot) check() error {
	if _, ok := s.Meta[RoleTargets]; !ok {
		return fmt.Errorf("it does not name %s.json", RoleTargets)
	}
	for role, m := range s.Meta {
		if !delegatedName.MatchString(role) {
			return fmt.Errorf("%q is no role", clip(role))
		}
		if err := m.check(); err != nil {
			return err
		}
	}
	return s.checkHeader()
}

func (s *Snapshot) encode() (map[string]any, error) {
	meta := map[string]any{}
	for role, m := range s.Meta {
		meta[role+".json"] = m.encode()
	}
	return map[string]any{"meta": meta}, nil
}

// Timestamp is the small document that says which snapshot is the newest.
type Timestamp struct {
	Header
	Snapshot Meta
	// Issued is when it was signed, a field beside TUF's; the zero time where a
	// server does not say. It is a floor for a machine whose clock is not set.
	Issued time.Time
	env    *envelope
}

// ParseTimestamp reads a timestamp; it does not verify its signatures.
func ParseTimestamp(data []byte) (*Timestamp, error) {
	env, d, h, err := open(RoleTimestamp, data)
	if err != nil {
		return nil, err
	}
	meta := d.metas(d.body["meta"])
	t := &Timestamp{Header: h, Snapshot: meta[RoleSnapshot], env: env}
	if len(meta) != 1 {
		d.fail("it must name the snapshot, and nothing else")
	}
	if issued, ok := d.body["issued"]; ok {
		t.Issued = d.time("issued", issued)
	}
	if d.err == nil {
		d.err = t.check()
	}
	if d.err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read a timestamp: %w", d.err)
	}
	return t, nil
}

// Raw is the document as it came, with its signatures.
func (t *Timestamp) Raw() []byte { return t.env.raw }

func (t *Timestamp) kind() string    { return RoleTimestamp }
func (t *Timestamp) header() *Header { return &t.Header }

func (t *Timestamp) check() error {
	if err := t.Snapshot.check(); err != nil {
		return err
	}
	return t.checkHeader()
}

func (t *Timestamp) encode() (map[string]any, error) {
	o := map[string]any{"meta": map[string]any{RoleSnapshot + ".json": t.Snapshot.encode()}}
	if !t.Issued.IsZero() {
		o["issued"] = t.Issued.UTC().Format(timeForm)
	}
	return o, nil
}
