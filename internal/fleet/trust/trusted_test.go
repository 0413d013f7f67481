package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
)

// host is a machine that follows a repository.
func host(t testing.TB, r *trusttest.Repository) *trust.Trusted {
	t.Helper()
	h, err := trust.NewTrusted(r.Root)
	if err == nil {
		err = r.Follow(h)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func denied(t *testing.T, what string, err error) {
	t.Helper()
	if fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("%s: %v", what, err)
	}
}

func TestAttack02_NothingGoesBack(t *testing.T) {
	r := full(t)
	timestamp, snapshot := r.Timestamp, newest(r, trust.RoleSnapshot)
	r.Publish(t)
	h := host(t, r)
	_, err := h.UpdateTimestamp(timestamp)
	denied(t, "an older timestamp", err)
	denied(t, "an older snapshot", h.UpdateSnapshot(snapshot))
	denied(t, "an older root", h.UpdateRoot(r.Root))

	// A thief of the server's keys signs anew what was: newer numbers, older lists.
	meta := map[string]trust.Meta{trust.RoleTargets: trust.MetaOf(1, r.Files["1.targets.json"]), trust.Depot: trust.MetaOf(3, r.Files["3.depot.json"])}
	r.PublishSnapshot(t, meta)
	if _, err := h.UpdateTimestamp(r.Timestamp); err != nil {
		t.Fatal(err)
	}
	denied(t, "a newer snapshot of an older list", h.UpdateSnapshot(newest(r, trust.RoleSnapshot)))
	// Nor can he leave a list away, and bring it back later.
	delete(meta, trust.Depot)
	meta[trust.RoleTargets] = trust.MetaOf(3, r.Files["3.targets.json"])
	r.PublishSnapshot(t, meta)
	if _, err := h.UpdateTimestamp(r.Timestamp); err != nil {
		t.Fatal(err)
	}
	denied(t, "a snapshot without the depot's list", h.UpdateSnapshot(newest(r, trust.RoleSnapshot)))
	// A timestamp that names an older snapshot.
	r.PublishTimestamp(t, trust.MetaOf(1, r.Files["1.snapshot.json"]))
	_, err = h.UpdateTimestamp(r.Timestamp)
	denied(t, "a newer timestamp of an older snapshot", err)
	if _, _, ok := h.Find(trust.UpdateName("017")); !ok {
		t.Error("the last good list is not kept")
	}
}

func TestAttack03_FreezeIsSeen(t *testing.T) {
	r := full(t)
	r.Expires = trusttest.Start.Add(24 * time.Hour)
	r.Publish(t)
	h := host(t, r)
	if since, stale := h.StaleSince(trusttest.Start); stale {
		t.Errorf("stale since %v", since)
	}
	since, stale := h.StaleSince(r.Expires)
	if !stale || !since.Equal(r.Expires) {
		t.Errorf("%v since %v", stale, since)
	}
	if newer, err := h.UpdateTimestamp(r.Timestamp); newer || err != nil {
		t.Errorf("the same timestamp again: %v, %v", newer, err)
	}
	if _, _, ok := h.Find(trust.UpdateName("017")); !ok {
		t.Error("what is held does not count any more")
	}
}

func TestAttack04_ListsOfTwoSnapshotsAreNotMixed(t *testing.T) {
	r := full(t)
	h := host(t, r)
	old := newest(r, trust.Depot)
	r.Add(trust.UpdateName("018"), []byte("two"))
	r.Depot[trust.DepotName("d.example.org", "b", "1", "1", "any")] = trust.TargetOf([]byte("b"))
	r.Publish(t)
	if _, err := h.UpdateTimestamp(r.Timestamp); err != nil {
		t.Fatal(err)
	}
	denied(t, "a list before its snapshot", h.UpdateTargets(trust.RoleTargets, newest(r, trust.RoleTargets)))
	if err := h.UpdateSnapshot(newest(r, trust.RoleSnapshot)); err != nil {
		t.Fatal(err)
	}
	denied(t, "a delegated list before the one that delegates", h.UpdateTargets(trust.Depot, newest(r, trust.Depot)))
	if err := h.UpdateTargets(trust.RoleTargets, newest(r, trust.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	denied(t, "the depot's list of the snapshot before", h.UpdateTargets(trust.Depot, old))
	if _, _, ok := h.Find(trust.UpdateName("018")); ok {
		t.Error("half of the next lists is in use")
	}
	if err := h.UpdateTargets(trust.Depot, newest(r, trust.Depot)); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := h.Find(trust.UpdateName("018")); !ok || len(h.Wants()) != 0 {
		t.Errorf("the lists are whole, and not in use: %v", h.Wants())
	}
}

func TestAttack05_LengthsAreObeyed(t *testing.T) {
	r := full(t)
	h, err := trust.NewTrusted(r.Root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.UpdateTimestamp(r.Timestamp); err != nil {
		t.Fatal(err)
	}
	if w := h.Wants(); len(w) != 1 || w[0].Role != trust.RoleSnapshot || w[0].Limit != int64(len(newest(r, trust.RoleSnapshot))) {
		t.Errorf("wants %+v", w)
	}
	denied(t, "one byte more", h.UpdateSnapshot(append(bytes.Clone(newest(r, trust.RoleSnapshot)), ' ')))
	target := trust.TargetOf([]byte("abc"))
	denied(t, "a byte more", target.Check([]byte("abcd")))
	denied(t, "another byte", target.Check([]byte("abd")))
}

// A thief signs the highest number there is. New keys for snapshot and timestamp
// in a new root bring every machine back, without touching any.
func TestAttack07_FastForwardIsRecoveredByRotation(t *testing.T) {
	r := full(t)
	h := host(t, r)
	versions := map[string]int64{trust.RoleSnapshot: r.Versions[trust.RoleSnapshot], trust.RoleTimestamp: r.Versions[trust.RoleTimestamp]}
	r.Versions[trust.RoleSnapshot], r.Versions[trust.RoleTimestamp] = 1<<53-3, 1<<53-3
	r.PublishSnapshot(t, map[string]trust.Meta{trust.RoleTargets: trust.MetaOf(r.Versions[trust.RoleTargets], newest(r, trust.RoleTargets)),
		trust.Depot: {Version: 1<<53 - 2}})
	if err := r.Follow(h); err == nil {
		t.Fatal("there is no such list of the depot")
	}
	for role, v := range versions {
		r.Versions[role] = v
	}
	r.Publish(t)
	denied(t, "the right ones, before the rotation", r.Follow(h))
	r.Keys[trust.RoleSnapshot] = []ed25519.PrivateKey{trusttest.Key("snapshot2")}
	r.Keys[trust.RoleTimestamp] = []ed25519.PrivateKey{trusttest.Key("timestamp2")}
	r.PublishRoot(t)
	r.Publish(t)
	if err := r.Follow(h); err != nil {
		t.Fatalf("after the rotation: %v", err)
	}
	if v := h.Versions(); v[trust.RoleTimestamp] != r.Versions[trust.RoleTimestamp] || v[trust.Depot] != r.Versions[trust.Depot] {
		t.Errorf("versions %v", v)
	}
}

// The server's keys alone make no list, and no name of the offline role.
func TestAttack08_AnOnlineKeySignsNoCode(t *testing.T) {
	r := full(t)
	h := host(t, r)
	stolen := append(append(append([]ed25519.PrivateKey{}, r.Keys[trust.RoleSnapshot]...), r.Keys[trust.RoleTimestamp]...), r.Keys[trust.Depot]...)
	r.Keys[trust.RoleTargets] = stolen
	r.Add(trust.UpdateName("666"), []byte("evil"))
	r.Publish(t)
	denied(t, "a list of the thief's", r.Follow(h))
	if _, _, ok := h.Find(trust.UpdateName("666")); ok {
		t.Error("it is believed")
	}
	evil := full(t)
	evil.PublishRoot(t)
	bad := trusttest.Sign(t, &trust.Root{Header: trust.Header{Version: 2, Expires: evil.Expires}, Keys: evil.RootDoc().Keys, Roles: evil.RootDoc().Roles}, stolen...)
	denied(t, "a root of the thief's", h.UpdateRoot(bad))
}

func TestAttack09_FiveRootsInOneSession(t *testing.T) {
	r := full(t)
	h := host(t, r)
	rotate(t, r, 5)
	r.Publish(t)
	if err := r.Follow(h); err != nil {
		t.Fatal(err)
	}
	if v := h.Versions()[trust.RoleRoot]; v != 6 {
		t.Errorf("root %d", v)
	}
	far, err := trust.NewTrusted(r.Files["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	denied(t, "a root that is not the next", far.UpdateRoot(r.Files["3.root.json"]))
}

func TestAttack10_AnOldRootKeyIsNothing(t *testing.T) {
	r := full(t)
	h := host(t, r)
	old := r.Keys[trust.RoleRoot]
	rotate(t, r, 1)
	if err := h.UpdateRoot(r.Root); err != nil {
		t.Fatal(err)
	}
	next := r.RootDoc()
	denied(t, "signed by the old key", h.UpdateRoot(trusttest.Sign(t, next, old...)))
	denied(t, "signed by one of two", h.UpdateRoot(trusttest.Sign(t, next, append(old, r.Keys[trust.RoleRoot][0])...)))
	// The new keys must vouch, not only the old ones.
	takeover := r.RootDoc()
	takeover.Roles[trust.RoleRoot] = takeover.Keys.RoleOf(1, trusttest.Public(trusttest.Key("new")))
	denied(t, "not signed by its own key", h.UpdateRoot(trusttest.Sign(t, takeover, r.Keys[trust.RoleRoot]...)))
}

// A key that a new root does not name any more takes its list along at once.
func TestUpdateRoot_WithdrawsLists(t *testing.T) {
	r := full(t)
	h := host(t, r)
	r.Keys[trust.RoleTargets] = []ed25519.PrivateKey{trusttest.Key("targets2")}
	r.PublishRoot(t)
	if err := h.UpdateRoot(r.Root); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := h.Find(trust.UpdateName("017")); ok {
		t.Error("a list is believed whose key was withdrawn")
	}
	if _, stale := h.StaleSince(trusttest.Start); !stale {
		t.Error("nothing is held, and that is not said")
	}
	r.Publish(t)
	if err := r.Follow(h); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := h.Find(trust.UpdateName("017")); !ok {
		t.Error("the new list is not believed")
	}
}

func TestAttack15_NoDelegationLeavesItsPaths(t *testing.T) {
	for _, name := range []string{trust.ProductName("vlc", "3.0", "1", "any"), trust.UpdateName("018"), "depot/x", "depot/d/product/vlc/3/any/more", "conf/all.conf"} {
		r := full(t)
		h := host(t, r)
		r.Depot[name] = trust.TargetOf([]byte("evil"))
		r.Publish(t)
		err := r.Follow(h)
		denied(t, name, err)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
		if _, role, ok := h.Find(name); ok && role == trust.Depot {
			t.Errorf("%s is believed", name)
		}
	}
	// The depot's key signs no other role.
	r := full(t)
	h := host(t, r)
	r.Keys[trust.RoleSnapshot] = r.Keys[trust.Depot]
	r.Publish(t)
	denied(t, "a snapshot by the depot's key", r.Follow(h))
}

func TestFind_TheOfflineRoleGoesFirst(t *testing.T) {
	r := full(t)
	name := trust.DepotName("d.example.org", "vlc", "3.0", "1", "any")
	r.Add(name, []byte("offline"))
	r.Publish(t)
	h := host(t, r)
	if target, role, ok := h.Find(name); !ok || role != trust.RoleTargets || target.Check([]byte("offline")) != nil {
		t.Errorf("%v by %q: %v", target, role, ok)
	}
	names := h.Names("")
	if len(names) != 3 || names[0] != name {
		t.Errorf("names %q", names)
	}
	if names := h.Names("update/"); len(names) != 1 || names[0] != "update/017" {
		t.Errorf("updates %q", names)
	}
}

func TestRestore_GoesOn(t *testing.T) {
	r := full(t)
	h := host(t, r)
	r.Publish(t)
	if _, err := h.UpdateTimestamp(r.Timestamp); err != nil { // and no more: cut off
		t.Fatal(err)
	}
	back, err := trust.Restore(h.State())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := back.Find(trust.UpdateName("017")); !ok {
		t.Error("the lists are lost")
	}
	if w := back.Wants(); len(w) != 1 || w[0].Role != trust.RoleSnapshot {
		t.Errorf("wants %+v", w)
	}
	if err := r.Follow(back); err != nil {
		t.Fatal(err)
	}
	if again, err := trust.Restore(back.State()); err != nil || len(again.Wants()) != 0 {
		t.Errorf("%v, %v", again.Wants(), err)
	}
	s := back.State()
	for role, data := range map[string]*[]byte{"root": &s.Root, "timestamp": &s.Timestamp, "snapshot": &s.Snapshot} {
		was := *data
		*data = bytes.Replace(was, []byte(`"version":`), []byte(`"version":9`), 1)
		if _, err := trust.Restore(s); err == nil {
			t.Errorf("a changed %s was restored", role)
		}
		*data = was
	}
	for role := range s.Lists {
		was := s.Lists[role]
		s.Lists[role] = bytes.Replace(was, []byte(`"version":`), []byte(`"version":9`), 1)
		if _, err := trust.Restore(s); err == nil {
			t.Errorf("a changed list of %s was restored", role)
		}
		s.Lists[role] = was
	}
}

// Whatever documents come in whatever order, no number ever falls, no list is in
// use that is not of one snapshot, and a restart changes nothing.
func TestTrusted_NumbersNeverFall(t *testing.T) {
	r := full(t)
	for range 3 {
		r.Publish(t)
	}
	type doc struct {
		role string
		data []byte
	}
	var docs []doc
	for _, role := range allRoles {
		for v := int64(1); v <= r.Versions[role]; v++ {
			name := trust.FileName(role, v)
			if role != trust.RoleTimestamp {
				docs = append(docs, doc{role, r.Files[name]})
			}
		}
	}
	r2 := full(t) // the timestamps of each step, which have one name
	docs = append(docs, doc{trust.RoleTimestamp, r2.Timestamp})
	for range 3 {
		r2.Publish(t)
		docs = append(docs, doc{trust.RoleTimestamp, r2.Timestamp})
	}
	rapid.Check(t, func(t *rapid.T) {
		h, err := trust.NewTrusted(r.Root)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			before := h.Versions()
			switch d := rapid.SampledFrom(docs).Draw(t, "doc"); d.role {
			case trust.RoleRoot:
				_ = h.UpdateRoot(d.data)
			case trust.RoleTimestamp:
				_, _ = h.UpdateTimestamp(d.data)
			case trust.RoleSnapshot:
				_ = h.UpdateSnapshot(d.data)
			default:
				_ = h.UpdateTargets(d.role, d.data)
			}
			after := h.Versions()
			for role, v := range before {
				if after[role] < v {
					t.Fatalf("%s went from %d to %d", role, v, after[role])
				}
			}
			if after[trust.RoleTargets] != after[trust.Depot] {
				t.Fatalf("lists of two snapshots: %v", after)
			}
			back, err := trust.Restore(h.State())
			if err != nil {
				t.Fatal(err)
			}
			if got := back.Versions(); len(got) != len(after) || got[trust.RoleTargets] != after[trust.RoleTargets] {
				t.Fatalf("restored to %v, was %v", got, after)
			}
		}
	})
}
