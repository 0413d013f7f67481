package trust_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	signed "github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
)

func (s *server) get(t testing.TB, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// file is a document as hosts get it.
func (s *server) file(t testing.TB, name string) []byte {
	t.Helper()
	w := s.get(t, "/v1/trust/"+name)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", name, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// follow walks from the first root over what the server hands out, as a host
// that begins anew.
func follow(t testing.TB, s *server) *signed.Trusted {
	t.Helper()
	h, err := signed.NewTrusted(s.file(t, "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	goOn(t, s, h)
	return h
}

// goOn brings a host up to date.
func goOn(t testing.TB, s *server, h *signed.Trusted) {
	t.Helper()
	for {
		w := s.get(t, "/v1/trust/"+signed.FileName(signed.RoleRoot, h.Root().Version+1))
		if w.Code == http.StatusNotFound {
			break
		}
		if err := h.UpdateRoot(w.Body.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.UpdateTimestamp(s.file(t, "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	for len(h.Wants()) > 0 {
		for _, want := range h.Wants() {
			data := s.file(t, signed.FileName(want.Role, want.Version))
			var err error
			if want.Role == signed.RoleSnapshot {
				err = h.UpdateSnapshot(data)
			} else {
				err = h.UpdateTargets(want.Role, data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// goTUF has the independent implementation walk over the same.
func goTUF(t testing.TB, s *server) *trustedmetadata.TrustedMetadata {
	t.Helper()
	h, err := trustedmetadata.New(s.file(t, "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	h.RefTime = time.Unix(s.now.Load(), 0)
	for {
		w := s.get(t, "/v1/trust/"+signed.FileName(signed.RoleRoot, h.Root.Signed.Version+1))
		if w.Code == http.StatusNotFound {
			break
		}
		if _, err := h.UpdateRoot(w.Body.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	at, err := h.UpdateTimestamp(s.file(t, "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := h.UpdateSnapshot(s.file(t, signed.FileName(signed.RoleSnapshot, at.Signed.Meta["snapshot.json"].Version)), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.UpdateTargets(s.file(t, signed.FileName(signed.RoleTargets, snapshot.Signed.Meta["targets.json"].Version))); err != nil {
		t.Fatal(err)
	}
	if _, err := h.UpdateDelegatedTargets(s.file(t, signed.FileName(signed.Depot, snapshot.Signed.Meta["depot.json"].Version)), signed.Depot, metadata.TARGETS); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNoRoot(t *testing.T) {
	s := alone(t)
	for _, path := range []string{"/v1/trust/timestamp.json", "/v1/trust/1.root.json", "/v1/trust/content/" + strings.Repeat("0", 64), "/v1/trust/../secrets", "/v1/trust/1.secret.json"} {
		if w := s.get(t, path); w.Code != http.StatusNotFound && w.Code != http.StatusMovedPermanently && w.Code != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := s.get(t, "/v1/trust/timestamp.json"); !strings.Contains(w.Body.String(), "no trust root") || !strings.Contains(w.Body.String(), "fernwerk trust init") {
		t.Errorf("%s", w.Body)
	}
}

// Every state that is published is believed by our verifier and by go-tuf's: a
// content, a tree that a depot changed, and five rotations of each kind of key.
func TestPublished_IsBelieved(t *testing.T) {
	s := alone(t)
	d := folder(t, s)
	publish(t, d, s)
	follow(t, s)
	goTUF(t, s)

	script := []byte("#!/bin/sh\necho hello\n")
	if err := d.Add(signed.UpdateName("000"), script, nil); err != nil {
		t.Fatal(err)
	}
	manifest := signed.TargetOf([]byte("manifest as it was packed"))
	manifest.Custom = custom(t)
	d.AddTarget(signed.ProductName("firefox", "128.0", "1", "any"), manifest)
	sign(t, d)
	publish(t, d, s)
	s.install(t, tree("firefox", "as postinst left it"))
	h := follow(t, s)
	target, role, ok := h.Find(signed.UpdateName("000"))
	if !ok || role != signed.RoleTargets {
		t.Fatalf("the update is signed by %q", role)
	}
	if w := s.get(t, "/v1/trust/"+target.ContentPath()); !bytes.Equal(w.Body.Bytes(), script) || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	name := signed.DepotName(depotID, "firefox", "128.0", "1", "any")
	changed, role, ok := h.Find(name)
	if !ok || role != signed.Depot || changed.Check([]byte("as postinst left it")) != nil || !bytes.Equal(changed.Custom, manifest.Custom) {
		t.Errorf("the changed tree: %v, signed by %q", changed, role)
	}
	goTUF(t, s)

	for i := range 5 {
		for _, r := range []offline.Rotation{{Role: signed.RoleRoot}, {Role: signed.RoleTargets}, {Online: newKeys(t, s)}} {
			if _, err := d.Rotate(r, ring(), start); err != nil {
				t.Fatalf("rotation %d %v: %v", i, r, err)
			}
			publish(t, d, s)
			goOn(t, s, h) // one that was there all the time
			follow(t, s)  // and one that begins
			if theirs := goTUF(t, s); theirs.Root.Signed.Version != d.Root().Version {
				t.Errorf("go-tuf is at root %d", theirs.Root.Signed.Version)
			}
		}
	}
	if _, _, ok := h.Find(name); !ok || h.Root().Version != 16 {
		t.Errorf("root %d", h.Root().Version)
	}
	// What was withdrawn is not given out any more.
	d.Remove(signed.UpdateName("000"))
	sign(t, d)
	publish(t, d, s)
	if w := s.get(t, "/v1/trust/"+target.ContentPath()); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

func newKeys(t testing.TB, s *server) offline.Online {
	t.Helper()
	keys, err := offline.MakeKeys(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func custom(t testing.TB) []byte {
	t.Helper()
	c, err := signed.Scripts{"setupScript": "setup.sh"}.Custom()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tree(product, text string) depots.Tree {
	target := signed.TargetOf([]byte(text))
	return depots.Tree{DepotID: depotID, Product: product, ProductVersion: "128.0", PackageVersion: "1",
		Digest: hex.EncodeToString(target.SHA256[:]), Length: target.Length}
}

// What the role depot signs follows from the trees and the list.
func TestDepotRole(t *testing.T) {
	s := alone(t)
	d := folder(t, s)
	publish(t, d, s)
	name := signed.DepotName(depotID, "firefox", "128.0", "1", "any")
	has := func(want bool, when string) {
		t.Helper()
		if _, _, ok := follow(t, s).Find(name); ok != want {
			t.Errorf("%s: signed by the server: %v", when, ok)
		}
	}
	judged := func(want string) {
		t.Helper()
		m, err := s.Call(t.Context(), "trust_getTree", depotID, "firefox")
		if err != nil || m.(map[string]any)["signed"] != want {
			t.Errorf("%v, %v; want %s", m, err, want)
		}
	}
	s.install(t, tree("firefox", "a"))
	has(false, "nobody signed it offline")
	judged("none")
	add := func(platform, text string) {
		target := signed.TargetOf([]byte(text))
		target.Custom = custom(t)
		d.AddTarget(signed.ProductName("firefox", "128.0", "1", platform), target)
		sign(t, d)
		publish(t, d, s)
	}
	add("any", "a")
	has(false, "it is what was signed")
	judged("offline")
	s.install(t, tree("firefox", "b"))
	has(true, "postinst changed it")
	judged("depot")
	add("linux", "b")
	has(false, "it is the package for another platform")
	s.install(t, tree("firefox", "c"))
	has(true, "changed again")
	other := tree("firefox", "c")
	other.ProductVersion = "129.0"
	s.install(t, other)
	has(false, "another version")
	s.install(t, tree("firefox", "c"))
	err := s.store.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
		if _, err := tx.Delete(depots.Trees, nil); err != nil {
			return err
		}
		return s.Follow(tx)
	})
	if err == nil {
		err = s.Refresh(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	has(false, "removed")
}

// A changed tree is what hosts of some policies refuse.
func TestJudge_WhoRefuses(t *testing.T) {
	policies := map[string]enrol.Policy{"strict.example.org": enrol.Offline, "pc1.example.org": enrol.Delegated, "old.example.org": enrol.PlainOpsi}
	s := newServer(t, openSQLite(t, t.TempDir()+"/fleet.db"), clusterKey(t), policies)
	rows := []any{map[string]any{"type": fleet.OpsiConfigserver, "id": depotID}}
	for _, id := range []string{"strict.example.org", "pc1.example.org", "old.example.org", "silent.example.org"} {
		rows = append(rows, map[string]any{"type": fleet.OpsiClient, "id": id})
	}
	if _, err := s.Call(t.Context(), "host_createObjects", rows); err != nil {
		t.Fatal(err)
	}
	d := folder(t, s)
	d.AddTarget(signed.ProductName("firefox", "128.0", "1", "any"), signed.Target{Length: 1, SHA256: [32]byte{1}, Custom: custom(t)})
	sign(t, d)
	publish(t, d, s)
	s.install(t, tree("firefox", "changed"))
	s.install(t, tree("unsigned", "x"))
	for product, want := range map[string]string{"firefox": "[strict.example.org] 1 1", "unsigned": "[pc1.example.org strict.example.org] 2 1"} {
		v, err := s.Call(t.Context(), "trust_getTree", depotID, product)
		if err != nil {
			t.Fatal(err)
		}
		m := v.(map[string]any)
		if got := fmt.Sprint(m["refused"], m["refusing"], m["silent"]); got != want {
			t.Errorf("%s: %s, want %s", product, got, want)
		}
	}
}

// The timestamp is renewed each day, and asking for it costs no database.
func TestTimestamp(t *testing.T) {
	s := alone(t)
	d := folder(t, s)
	publish(t, d, s)
	w := s.get(t, "/v1/trust/timestamp.json")
	tag := w.Header().Get("ETag")
	if w.Code != http.StatusOK || tag == "" {
		t.Fatal(w.Code, w.Header())
	}
	if w := s.get(t, "/v1/trust/timestamp.json", "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	first, err := signed.ParseTimestamp(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	turn := func() *signed.Timestamp {
		t.Helper()
		if err := s.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, err := signed.ParseTimestamp(s.file(t, "timestamp.json"))
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	if now := turn(); now.Version != first.Version {
		t.Error("signed anew for nothing")
	}
	s.now.Add(int64((25 * time.Hour).Seconds()))
	now := turn()
	if now.Version != first.Version+1 || now.Snapshot != first.Snapshot || !now.Expires.After(first.Expires) {
		t.Errorf("after a day: %+v", now)
	}
	if w := s.get(t, "/v1/trust/timestamp.json", "If-None-Match", tag); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
	s.now.Add(-int64((48 * time.Hour).Seconds())) // a clock that was wrong and is set back
	if back := turn(); back.Version != now.Version+1 {
		t.Errorf("%+v", back)
	}
}

func TestPublish_Refused(t *testing.T) {
	s := alone(t)
	d := folder(t, s)
	publish(t, d, s)
	root, list := d.Root(), d.List()
	stolen := keyOf(t)
	next := func(change func(*signed.Targets)) *signed.Targets {
		l := &signed.Targets{Header: signed.Header{Version: list.Version + 1, Expires: start.AddDate(1, 0, 0)}, Targets: map[string]signed.Target{}, Keys: list.Keys, Delegations: list.Delegations}
		if change != nil {
			change(l)
		}
		return l
	}
	text := func(doc signed.Document, keys ...privateKey) string {
		data, err := signed.Sign(doc, keys...)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	nextRoot := &signed.Root{Header: signed.Header{Version: 2, Expires: root.Expires}, Keys: root.Keys, Roles: root.Roles}
	before := follow(t, s).Versions()
	for name, call := range map[string]struct {
		roots   []any
		targets string
		code    fleet.Code
		says    string
	}{
		"a list of a stolen key":           {nil, text(next(nil), stolen), fleet.Denied, "0 of the 1 signatures"},
		"a list without a signature":       {nil, text(next(nil)), fleet.Denied, "0 of the 1"},
		"an older list":                    {nil, text(&signed.Targets{Header: signed.Header{Version: 1, Expires: start}, Targets: map[string]signed.Target{}}, stolen), fleet.Conflict, "another list with the number 1"},
		"a root of a stolen key":           {[]any{text(nextRoot, stolen)}, "", fleet.Denied, "the old keys do not vouch"},
		"a root that leaves one out":       {[]any{text(&signed.Root{Header: signed.Header{Version: 3, Expires: root.Expires}, Keys: root.Keys, Roles: root.Roles}, stolen)}, "", fleet.Denied, "not neighbours"},
		"another first root":               {[]any{text(&signed.Root{Header: root.Header, Keys: root.Keys, Roles: root.Roles}, stolen)}, "", fleet.Conflict, "another root"},
		"text that is no document":         {nil, "{}", fleet.Invalid, "cannot read"},
		"a document that is not canonical": {nil, " " + text(next(nil), stolen), fleet.Invalid, "cannot read"},
	} {
		_, err := s.Call(t.Context(), "trust_publish", call.roots, call.targets, []any{})
		if fleet.CodeOf(err) != call.code || !strings.Contains(fmt.Sprint(err), call.says) {
			t.Errorf("%s: %v (%s)", name, err, fleet.CodeOf(err))
		}
	}
	// A list names contents that nobody brought: it does not count before they are
	// there.
	if err := d.Add(signed.UpdateName("001"), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	sign(t, d)
	if _, err := s.Call(t.Context(), "trust_publish", []any{}, string(d.List().Raw()), []any{}); fleet.CodeOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "content of update/001") {
		t.Errorf("%v", err)
	}
	if after := follow(t, s).Versions(); !mapsEqual(before, after) {
		t.Errorf("refused, and yet %v became %v", before, after)
	}
	publish(t, d, s)
	big := strings.Repeat("A", (signed.MaxContent+3)/3*4)
	if _, err := s.Call(t.Context(), "trust_publish", []any{}, "", []any{big}); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("%v", err)
	}
	if !slices.Equal(d.Names("update/"), []string{"update/001"}) {
		t.Error(d.Names(""))
	}
}

// A root needs as many keys as the one before says, and itself; one key counts
// once, however often it signs.
func TestPublish_Threshold(t *testing.T) {
	s := alone(t)
	keys := []privateKey{trusttest.Key("a"), trusttest.Key("b"), trusttest.Key("c")}
	root := func(version int64, by ...privateKey) string {
		doc := &signed.Root{Header: signed.Header{Version: version, Expires: start.AddDate(3, 0, 0)}, Keys: signed.Keys{}, Roles: map[string]signed.Role{}}
		doc.Roles[signed.RoleRoot] = doc.Keys.RoleOf(2, trusttest.Public(keys[0]), trusttest.Public(keys[1]), trusttest.Public(keys[2]))
		for _, role := range []string{signed.RoleTargets, signed.RoleSnapshot, signed.RoleTimestamp} {
			doc.Roles[role] = doc.Keys.RoleOf(1, trusttest.Public(trusttest.Key(role)))
		}
		return string(must(t, doc, by...))
	}
	hand := func(text string) error {
		_, err := s.Call(t.Context(), "trust_publish", []any{text}, "", []any{})
		return err
	}
	one := root(1, keys[0])
	twice := strings.Replace(one, `{"signatures":[`, `{"signatures":[`+one[len(`{"signatures":[`):strings.Index(one, `],"signed"`)]+",", 1)
	for name, text := range map[string]string{"one signature": one, "one twice": twice, "a stranger's": root(1, keys[0], keyOf(t)), "none": root(1)} {
		if err := hand(text); fleet.CodeOf(err) != fleet.Denied && fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := hand(root(1, keys[0], keys[2])); err != nil {
		t.Fatal(err)
	}
	if err := hand(root(2, keys[1])); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("root 2: %v", err)
	}
	if err := hand(root(3, keys...)); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("root 3: %v", err)
	}
	if err := hand(root(2, keys[1], keys[2])); err != nil {
		t.Error(err)
	}
}
