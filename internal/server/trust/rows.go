package trust

import (
	"encoding/base64"
	"encoding/hex"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// document is one that counts, or counted a moment ago: a host that read the
// snapshot before may still come for the list that it names.
type document struct {
	Role    string `col:"role,ident"`
	Version int64  `col:"version,ident"`
	Text    string `col:"text"`
}

// content is what a target with content holds, in base64.
type content struct {
	SHA256 string `col:"sha256,ident"`
	Data   string `col:"data"`
}

// The classes of a Trust's rows.
var (
	documents = fleet.LocalClass[document]("trustDocument")
	contents  = fleet.LocalClass[content]("trustContent")
)

// Classes are the package's bookkeeping, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{documents, contents} }

// keepOld is how many versions before the newest stay.
const keepOld = 3

// state is what the database holds, parsed.
type state struct {
	root      *trust.Root
	roots     map[int64][]byte
	targets   *trust.Targets
	depot     *trust.Targets
	snapshot  *trust.Snapshot
	timestamp *trust.Timestamp
	newest    map[string]int64 // by role; above ours where a host has just shown more
}

func load(tx *store.Tx) (*state, error) {
	s := &state{roots: map[int64][]byte{}, newest: map[string]int64{}}
	rows, err := store.All[document](tx, documents, nil)
	if err != nil {
		return nil, err
	}
	text := map[string][]byte{}
	for _, r := range rows {
		if r.Role == trust.RoleRoot {
			s.roots[r.Version] = []byte(r.Text)
		}
		if r.Version > s.newest[r.Role] {
			s.newest[r.Role], text[r.Role] = r.Version, []byte(r.Text)
		}
	}
	for role, data := range text {
		if err := s.take(role, data); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// take parses a document of the database.
func (s *state) take(role string, data []byte) (err error) {
	switch role {
	case trust.RoleRoot:
		s.root, err = trust.ParseRoot(data)
	case trust.RoleTargets:
		s.targets, err = trust.ParseTargets(role, data)
	case trust.Depot:
		s.depot, err = trust.ParseTargets(role, data)
	case trust.RoleSnapshot:
		s.snapshot, err = trust.ParseSnapshot(data)
	case trust.RoleTimestamp:
		s.timestamp, err = trust.ParseTimestamp(data)
	}
	return err
}

// put keeps a new version, and drops what nobody comes for any more.
func (s *state) put(tx *store.Tx, role string, version int64, data []byte) error {
	if err := tx.Put(documents, documents.Encode(document{role, version, string(data)})); err != nil {
		return err
	}
	s.newest[role] = version
	if role == trust.RoleRoot {
		s.roots[version] = data
	} else if err := s.dropOld(tx, role, version); err != nil {
		return err
	}
	return s.take(role, data)
}

func (s *state) dropOld(tx *store.Tx, role string, version int64) error {
	rows, err := store.All[document](tx, documents, fleet.Filter{"role": role})
	if err != nil {
		return err
	}
	keep := int64(keepOld)
	if role == trust.RoleTimestamp {
		keep = 0 // it has no number in its name
	}
	for _, r := range rows {
		if r.Version < version-keep {
			if err := tx.Remove(documents, documents.Encode(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

func putContent(tx *store.Tx, data []byte) error {
	if len(data) > trust.MaxContent {
		return fleet.Errorf(fleet.TooLarge, "cannot take a content of %d bytes: the most is %d", len(data), trust.MaxContent)
	}
	sum := trust.TargetOf(data).SHA256
	return tx.Put(contents, contents.Encode(content{hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(data)}))
}

// Content implements [port.Trust].
func (t *Trust) Content(tx *store.Tx, sum string) ([]byte, error) {
	if !contentForm.MatchString(sum) {
		return nil, fleet.Errorf(fleet.NotFound, "cannot find the content %.100q: it is no SHA-256", sum)
	}
	return getContent(tx, sum)
}

func getContent(tx *store.Tx, sum string) ([]byte, error) {
	row, err := tx.ByKey(contents, contents.Key(fleet.Row{"sha256": sum}))
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, fleet.Errorf(fleet.NotFound, "cannot find the content %s: no list names it", sum)
	}
	return base64.StdEncoding.DecodeString(row.Str("data"))
}

// held are the digests of all contents.
func held(tx *store.Tx) ([]string, error) {
	rows, err := tx.Select(contents, nil)
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.Str("sha256")
	}
	return out, err
}
