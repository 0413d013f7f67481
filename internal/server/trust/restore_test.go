package trust_test

import (
	"crypto/ed25519"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	signed "github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/test/require"
)

// contact is what a host's check-in does with the documents that it shows.
func (s *server) contact(t testing.TB, docs map[string][]byte) map[string]error {
	t.Helper()
	out := map[string]error{}
	err := s.store.Update(t.Context(), store.Origin{Actor: "host"}, func(tx *store.Tx) error {
		for role, data := range docs {
			out[role] = s.StepOver(tx, role, data)
		}
		return nil
	})
	if err == nil {
		err = s.Refresh(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A server that is back at an old backup gives numbers that its hosts follow.
func TestStepOver_AfterRestore(t *testing.T) {
	key := cluster.NewKey()
	dir := t.TempDir()
	s := newServer(t, openSQLite(t, filepath.Join(dir, "fleet.db")), key, nil)
	d := folder(t, s)
	publish(t, d, s)
	h := follow(t, s)
	backup := filepath.Join(dir, "backup.db")
	copyDatabase(t, filepath.Join(dir, "fleet.db"), backup)

	// Life goes on: a tree is changed, days pass, an update is signed.
	target := signed.TargetOf([]byte("as packed"))
	target.Custom = custom(t)
	d.AddTarget(signed.ProductName("firefox", "128.0", "1", "any"), target)
	sign(t, d)
	publish(t, d, s)
	for range 5 {
		s.now.Add(int64((25 * time.Hour).Seconds()))
		if err := s.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.install(t, tree("firefox", "changed"))
	goOn(t, s, h)
	state := h.State()

	old := newServer(t, openSQLite(t, backup), key, nil)
	old.now.Store(s.now.Load())
	if _, err := h.Clone().UpdateTimestamp(old.file(t, "timestamp.json")); err == nil {
		t.Fatal("the host goes back")
	}
	lacks, err := old.Lacks(nil, enrol.Versions(h.Versions()))
	if err != nil || strings.Join(lacks, " ") != "targets snapshot timestamp depot" {
		t.Fatalf("%q, %v", lacks, err)
	}
	docs := map[string][]byte{signed.RoleTimestamp: state.Timestamp, signed.RoleSnapshot: state.Snapshot, signed.RoleTargets: state.Lists[signed.RoleTargets], signed.Depot: state.Lists[signed.Depot]}
	for role, err := range old.contact(t, docs) {
		if err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	goOn(t, old, h) // fails the test where it would go back
	if lacks, err := old.Lacks(nil, enrol.Versions(h.Versions())); err != nil || len(lacks) > 0 {
		t.Errorf("%q, %v", lacks, err)
	}

	// What is not validly signed moves nothing.
	before := follow(t, old).Versions()
	high := signed.Header{Version: 1000, Expires: start.AddDate(1, 0, 0)}
	stolen := keyOf(t)
	forged := map[string][]byte{
		signed.RoleTimestamp: must(t, &signed.Timestamp{Header: high, Snapshot: signed.Meta{Version: 1000}}, stolen),
		signed.RoleSnapshot:  must(t, &signed.Snapshot{Header: high, Meta: map[string]signed.Meta{signed.RoleTargets: {Version: 1000}}}, stolen),
		signed.RoleTargets:   must(t, &signed.Targets{Header: high, Targets: map[string]signed.Target{}}, stolen),
		signed.Depot:         must(t, &signed.Targets{Header: high, Targets: map[string]signed.Target{}}, stolen),
		signed.RoleRoot:      must(t, &signed.Root{Header: signed.Header{Version: 2, Expires: high.Expires}, Keys: d.Root().Keys, Roles: d.Root().Roles}, stolen),
		"crl":                []byte("{}"),
	}
	for role, err := range old.contact(t, forged) {
		if fleet.CodeOf(err) != fleet.Denied && fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", role, err)
		}
	}
	if after := follow(t, old).Versions(); !mapsEqual(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

// A list whose contents are lost, and a root that names other keys of ours, are
// not taken, and leave what is there usable.
func TestStepOver_NotWhole(t *testing.T) {
	key := cluster.NewKey()
	dir := t.TempDir()
	s := newServer(t, openSQLite(t, filepath.Join(dir, "fleet.db")), key, nil)
	d := folder(t, s)
	publish(t, d, s)
	backup := filepath.Join(dir, "backup.db")
	copyDatabase(t, filepath.Join(dir, "fleet.db"), backup)
	if err := d.Add(signed.UpdateName("000"), []byte("lost"), nil); err != nil {
		t.Fatal(err)
	}
	sign(t, d)
	publish(t, d, s)
	list := d.List().Raw()
	if _, err := d.Rotate(rotationOnline(t, s), ring(), start); err != nil {
		t.Fatal(err)
	}
	publish(t, d, s)

	old := newServer(t, openSQLite(t, backup), key, nil)
	for role, err := range old.contact(t, map[string][]byte{signed.RoleTargets: list, signed.RoleRoot: d.Root().Raw()}) {
		if fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
			t.Errorf("%s: %v", role, err)
		}
	}
	follow(t, old)
	// The way out: the server's keys anew, and what is in the folder.
	if _, err := d.Rotate(rotationOnline(t, old), ring(), start); err != nil {
		t.Fatal(err)
	}
	publish(t, d, old)
	h := follow(t, old)
	if _, _, ok := h.Find(signed.UpdateName("000")); !ok || h.Root().Version != 3 {
		t.Errorf("root %d", h.Root().Version)
	}
}

// Servers on one database that all sign at once give no number twice, and serve
// the same.
func TestServers_AtOnce(t *testing.T) {
	url := require.Postgres(t)
	key := cluster.NewKey()
	servers := make([]*server, 3)
	for i := range servers {
		servers[i] = newServer(t, openPostgres(t, url), key, nil)
	}
	d := folder(t, servers[0])
	for _, product := range []string{"a", "b", "c"} {
		target := signed.TargetOf([]byte("as packed"))
		target.Custom = custom(t)
		d.AddTarget(signed.ProductName(product, "128.0", "1", "any"), target)
	}
	sign(t, d)
	publish(t, d, servers[0])
	seen := sync.Map{} // what was given out, by name
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			for n := range 20 {
				s.install(t, tree(string(rune('a'+i)), strings.Repeat("x", n+1)))
				for name, data := range s.everything(t) {
					if was, known := seen.LoadOrStore(name, string(data)); known && was != string(data) {
						t.Errorf("two documents are %s", name)
					}
				}
			}
		})
	}
	wg.Wait()
	first := ""
	for i, s := range servers {
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := string(s.file(t, "timestamp.json"))
		if i > 0 && now != first {
			t.Error("the servers serve different timestamps")
		}
		first = now
		if h := follow(t, s); len(h.Names("depot/")) != 3 {
			t.Errorf("%q", h.Names("depot/"))
		}
	}
}

// everything is what a server gives out now, by name and number.
func (s *server) everything(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	data := s.file(t, "timestamp.json")
	at, err := signed.ParseTimestamp(data)
	if err != nil {
		t.Error(err)
		return nil
	}
	out["timestamp "+strings.Repeat("i", int(at.Version))] = data
	name := signed.FileName(signed.RoleSnapshot, at.Snapshot.Version)
	w := s.get(t, "/v1/trust/"+name)
	if w.Code == 200 { // others may be three numbers ahead meanwhile
		out[name] = w.Body.Bytes()
	}
	return out
}

// The keys that a server that was taken over holds cannot add to what was signed
// offline, nor speak of other names than depots'.
func TestStolenOnlineKeys(t *testing.T) {
	s := alone(t)
	d := folder(t, s)
	publish(t, d, s)
	h := follow(t, s)
	stolen := s.OnlineKeys(t.Context())
	evil := map[string]signed.Target{}
	for _, name := range []string{signed.UpdateName("666"), signed.ProductName("evil", "1", "1", "any"), signed.ConfName("")} {
		evil[name] = signed.TargetOf([]byte("evil"))
	}
	header := signed.Header{Version: 9, Expires: start.AddDate(1, 0, 0)}
	state := h.State()
	try := func(what string, lists map[string][]byte) {
		t.Helper()
		attack := h.Clone()
		meta := map[string]signed.Meta{}
		for role, data := range lists {
			version := int64(9)
			if string(data) == string(state.Lists[role]) {
				version = h.Versions()[role]
			}
			meta[role] = signed.MetaOf(version, data)
		}
		snapshot := must(t, &signed.Snapshot{Header: header, Meta: meta}, stolen[signed.RoleSnapshot])
		if _, err := attack.UpdateTimestamp(must(t, &signed.Timestamp{Header: header, Snapshot: signed.MetaOf(9, snapshot)}, stolen[signed.RoleTimestamp])); err != nil {
			t.Fatal(err)
		}
		if err := attack.UpdateSnapshot(snapshot); err != nil {
			t.Fatal(err)
		}
		for _, role := range []string{signed.RoleTargets, signed.Depot} {
			if err := attack.UpdateTargets(role, lists[role]); err != nil {
				break
			}
		}
		for name := range evil {
			if _, role, ok := attack.Find(name); ok {
				t.Errorf("%s: a host believes %s by the role %s", what, name, role)
			}
		}
	}
	for role, key := range stolen {
		try("a list by the key of "+role, map[string][]byte{signed.RoleTargets: must(t, &signed.Targets{Header: header, Targets: evil}, key), signed.Depot: state.Lists[signed.Depot]})
		try("a delegated list by the key of "+role, map[string][]byte{signed.RoleTargets: state.Lists[signed.RoleTargets], signed.Depot: must(t, &signed.Targets{Header: header, Targets: evil}, key)})
		if err := d2publish(t, s, must(t, &signed.Targets{Header: header, Targets: evil}, key)); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("the server takes a list by the key of %s: %v", role, err)
		}
	}
}

func d2publish(t testing.TB, s *server, list []byte) error {
	t.Helper()
	_, err := s.Call(t.Context(), "trust_publish", []any{}, string(list), []any{})
	return err
}

func must(t testing.TB, doc signed.Document, keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	data, err := signed.Sign(doc, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
