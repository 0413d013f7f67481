package trust

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// document is one document that is believed: the newest of each role, and every
// root since the pin, by its version.
type document struct {
	Name string `col:"name,ident"` // root, timestamp, snapshot; list:ROLE; root:VERSION
	Text string `col:"text"`
}

// state is what is remembered beside the documents.
type state struct {
	Name    string `col:"name,ident"` // "all"
	Version int64  `col:"pinVersion"`
	SHA256  string `col:"pinDigest"`
	Tag     string `col:"tag"`          // of the newest timestamp's answer
	Checked string `col:"checked,time"` // the server was asked last, and what it said was believed
	Problem string `col:"problem"`      // what was not believed since then
}

// content is what a name of the configuration holds: it must be there at the start,
// with or without a server.
type content struct {
	Digest string `col:"digest,ident"` // hexadecimal
	Text   string `col:"text"`
}

var (
	documents = fleet.LocalClass[document]("trustDocument")
	states    = fleet.LocalClass[state]("trustState")
	contents  = fleet.LocalClass[content]("trustContent")
)

// Classes are the classes of the package, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{documents, states, contents} }

const listPrefix = "list:"

func load(tx *store.Tx) (held trust.State, st state, texts map[string][]byte, err error) {
	held.Lists, texts = map[string][]byte{}, map[string][]byte{}
	docs, err := store.All[document](tx, documents, nil)
	if err != nil {
		return held, st, texts, fmt.Errorf("cannot read the documents of content trust: %w", err)
	}
	for _, d := range docs {
		role, list := strings.CutPrefix(d.Name, listPrefix)
		switch {
		case list:
			held.Lists[role] = []byte(d.Text)
		case d.Name == trust.RoleRoot:
			held.Root = []byte(d.Text)
		case d.Name == trust.RoleTimestamp:
			held.Timestamp = []byte(d.Text)
		case d.Name == trust.RoleSnapshot:
			held.Snapshot = []byte(d.Text)
		}
	}
	rows, err := store.All[content](tx, contents, nil)
	if err != nil {
		return held, st, texts, err
	}
	for _, c := range rows {
		texts[c.Digest] = []byte(c.Text)
	}
	r, err := tx.ByKey(states, "all")
	if r != nil {
		states.Decode(r, &st)
	}
	return held, st, texts, err
}

// save makes the rows those of what is held. It writes only what changed.
func save(tx *store.Tx, t *trust.Trusted) error {
	want := map[string][]byte{}
	if t != nil {
		s := t.State()
		want[trust.RoleRoot] = s.Root
		want[fmt.Sprintf("%s:%d", trust.RoleRoot, t.Root().Version)] = s.Root
		if s.Timestamp != nil {
			want[trust.RoleTimestamp] = s.Timestamp
		}
		if s.Snapshot != nil {
			want[trust.RoleSnapshot] = s.Snapshot
		}
		for role, data := range s.Lists {
			want[listPrefix+role] = data
		}
	}
	docs, err := store.All[document](tx, documents, nil)
	if err != nil {
		return err
	}
	for _, d := range docs {
		data, ok := want[d.Name]
		switch {
		case ok && string(data) == d.Text:
			delete(want, d.Name)
		case ok, t != nil && strings.HasPrefix(d.Name, trust.RoleRoot+":"): // the chain stays
		default:
			if err := tx.RemoveKey(documents, documents.Key(documents.Encode(d))); err != nil {
				return err
			}
		}
	}
	for name, data := range want {
		if err := tx.Put(documents, documents.Encode(document{Name: name, Text: string(data)})); err != nil {
			return err
		}
	}
	return nil
}

// saveContent keeps the texts that are signed now, and forgets the others.
func saveContent(tx *store.Tx, now map[string][]byte) error {
	rows, err := store.All[content](tx, contents, nil)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if _, ok := now[r.Digest]; !ok {
			if err := tx.RemoveKey(contents, contents.Key(contents.Encode(r))); err != nil {
				return err
			}
		}
	}
	for digest, text := range now {
		if err := tx.Put(contents, contents.Encode(content{Digest: digest, Text: string(text)})); err != nil {
			return err
		}
	}
	return nil
}

func digestText(t trust.Target) string { return hex.EncodeToString(t.SHA256[:]) }
