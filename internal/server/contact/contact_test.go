package contact

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

const host = "pc1.example.org"

func client(tx *store.Tx, id string) error {
	return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": id})
}

func open(t testing.TB) (*store.Store, *Contacts) {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, Rows)
	if err != nil {
		t.Fatal(err)
	}
	return st, New(Config{Store: st, Roots: func() []byte { return []byte("roots") }, Log: slog.New(slog.DiscardHandler),
		CRL:  func(*store.Tx) ([]byte, int64, error) { return []byte("list"), 7, nil },
		Take: func(*store.Tx, []byte) error { return fleet.Errorf(fleet.Denied, "it is not ours") },
		Due:  func(_ *store.Tx, _, serial string) (bool, error) { return serial == "old", nil }})
}

// machine keeps its marks as an agent does.
type machine struct {
	host       string
	last, next string
	n          *int
}

func (m *machine) contact(c *Contacts, lost bool) error {
	if m.next == "" {
		*m.n++
		m.next = fmt.Sprintf("mark-%024d", *m.n)
	}
	out, err := c.Contact(context.Background(), m.host, enrol.Contact{Last: m.last, Next: m.next}, store.Origin{Actor: "host " + m.host})
	if err != nil || lost {
		return err
	}
	m.last, m.next = out.Mark, ""
	return nil
}

// One machine is never taken for two, whatever answers get lost and however it is
// restarted. Two are noticed when each has had two contacts that were answered,
// whenever the copy was made.
func TestMarks(t *testing.T) {
	st, c := open(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		one := &machine{host: fmt.Sprintf("pc%d.example.org", n), n: &n}
		if err := st.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error { return client(tx, one.host) }); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 8).Draw(rt, "contacts") {
			if err := one.contact(c, rapid.Bool().Draw(rt, "lost")); err != nil {
				rt.Fatalf("one machine is taken for two: %v", err)
			}
		}
		copied := *one
		two := []*machine{one, &copied}
		var answered [2]int
		for answered[0] < 2 || answered[1] < 2 {
			i := rapid.IntRange(0, 1).Draw(rt, "who")
			if err := two[i].contact(c, false); err != nil {
				if fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
					rt.Fatal(err)
				}
				return // noticed
			}
			answered[i]++
		}
		rt.Fatalf("two machines went on with %v contacts each", answered)
	})
}

func TestContact_Carries(t *testing.T) {
	st, c := open(t)
	if err := st.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error { return client(tx, host) }); err != nil {
		t.Fatal(err)
	}
	n := 0
	last := ""
	ask := func(in enrol.Contact) enrol.Answer {
		t.Helper()
		n++
		in.Last, in.Next = last, fmt.Sprintf("mark-%024d", n)
		out, err := c.Contact(t.Context(), host, in, store.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		last = out.Mark
		return out
	}
	roots := RootsDigest([]byte("roots"))
	if a := ask(enrol.Contact{Serial: "old"}); string(a.CRL) != "list" || string(a.Roots) != "roots" || !a.Renew {
		t.Errorf("%+v", a)
	}
	if a := ask(enrol.Contact{CRL: 7, Roots: roots, Serial: "new"}); a.CRL != nil || a.Roots != nil || a.Renew || len(a.Send) != 0 {
		t.Errorf("nothing is new: %+v", a)
	}
	if a := ask(enrol.Contact{CRL: 9, Roots: roots}); len(a.Send) != 1 || a.Send[0] != "crl" {
		t.Errorf("a restored server asks: %+v", a)
	}
	// What is not to be believed is not asked for again, and breaks nothing.
	if a := ask(enrol.Contact{CRL: 9, Roots: roots, Newer: map[string][]byte{"crl": []byte("forged")}}); len(a.Send) != 0 {
		t.Errorf("%+v", a)
	}
	for name, bad := range map[string]enrol.Contact{
		"no mark": {}, "short": {Next: "abc"}, "text": {Next: "mark $(reboot) 0000000000000000"}, "last": {Last: "x", Next: "mark-000000000000000000000001"},
		"policy": {Next: "mark-000000000000000000000001", Policy: "any"},
		"much":   {Next: "mark-000000000000000000000001", Newer: map[string][]byte{"1": nil, "2": nil, "3": nil, "4": nil, "5": nil, "6": nil, "7": nil, "8": nil, "9": nil}},
	} {
		if _, err := c.Contact(t.Context(), host, bad, store.Origin{}); fleet.CodeOf(err) != fleet.Invalid && fleet.CodeOf(err) != fleet.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}
