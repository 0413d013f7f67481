package trust_test

import (
	"crypto"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
)

// What we write, go-tuf's own state machine believes, step by step: roots rotated
// five times, both thresholds, the delegated list, and each target's bytes.
func TestGoTUF_BelievesOurs(t *testing.T) {
	r := trusttest.New(t)
	first := r.Root
	rotate(t, r, 5)
	r.Add(trust.ProductName("vlc", "3.0", "1", "linux"), []byte("a manifest"))
	custom, err := trust.Scripts{"setupScript": "sub folder/setup \"1\".sh"}.Custom()
	if err != nil {
		t.Fatal(err)
	}
	target := r.Targets[trust.ProductName("vlc", "3.0", "1", "linux")]
	target.Custom = custom
	r.Targets[trust.ProductName("vlc", "3.0", "1", "linux")] = target
	name := trust.DepotName("depot.example.org", "vlc", "3.0", "1", "any")
	r.Depot[name] = trust.TargetOf([]byte("changed"))
	r.Publish(t)

	theirs, err := trustedmetadata.New(first)
	if err != nil {
		t.Fatal(err)
	}
	theirs.RefTime = trusttest.Start
	for v := int64(2); v <= r.Versions[trust.RoleRoot]; v++ {
		if _, err := theirs.UpdateRoot(r.Files[trust.FileName(trust.RoleRoot, v)]); err != nil {
			t.Fatalf("root %d: %v", v, err)
		}
	}
	file := func(role string) []byte { return r.Files[trust.FileName(role, r.Versions[role])] }
	if _, err := theirs.UpdateTimestamp(r.Timestamp); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.UpdateSnapshot(file(trust.RoleSnapshot), false); err != nil {
		t.Fatal(err)
	}
	list, err := theirs.UpdateTargets(file(trust.RoleTargets))
	if err != nil {
		t.Fatal(err)
	}
	depot, err := theirs.UpdateDelegatedTargets(file(trust.Depot), trust.Depot, metadata.TARGETS)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Signed.Targets[trust.ProductName("vlc", "3.0", "1", "linux")].VerifyLengthHashes([]byte("a manifest")); err != nil {
		t.Error(err)
	}
	if err := depot.Signed.Targets[name].VerifyLengthHashes([]byte("changed")); err != nil {
		t.Error(err)
	}
	if roles := list.Signed.Delegations.GetRolesForTarget(name); len(roles) != 1 || roles[0].Name != trust.Depot {
		t.Errorf("go-tuf looks for %s in %v", name, roles)
	}
	if roles := list.Signed.Delegations.GetRolesForTarget(trust.ProductName("vlc", "3.0", "1", "linux")); len(roles) != 0 {
		t.Errorf("go-tuf looks for a product in %v", roles)
	}
}

// rotate gives the repository new keys of every role but depot, n times, with two
// of three root keys needed.
func rotate(t *testing.T, r *trusttest.Repository, n int) {
	t.Helper()
	for i := range n {
		before := r.Keys[trust.RoleRoot]
		suffix := string(rune('a' + i))
		r.Keys[trust.RoleRoot] = []ed25519.PrivateKey{trusttest.Key("root1" + suffix), trusttest.Key("root2" + suffix), trusttest.Key("root3" + suffix)}
		r.Threshold[trust.RoleRoot] = 2
		for _, role := range []string{trust.RoleTargets, trust.RoleSnapshot, trust.RoleTimestamp} {
			r.Keys[role] = []ed25519.PrivateKey{trusttest.Key(role + suffix)}
		}
		r.PublishRoot(t, before...)
	}
}

// What go-tuf writes, ours believes: the same journey the other way round.
func TestGoTUF_OursBelievesTheirs(t *testing.T) {
	expires := trusttest.Start.AddDate(1, 0, 0)
	keys := map[string]ed25519.PrivateKey{}
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP, "depot"} {
		keys[role] = trusttest.Key(role)
	}
	root := metadata.Root(expires)
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if err := root.Signed.AddKey(theirKey(t, keys[role]), role); err != nil {
			t.Fatal(err)
		}
	}
	first := theirBytes(t, root, keys[metadata.ROOT])
	ours, err := trust.NewTrusted(first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 { // a new root key each time, signed by the old one and the new
		before := keys[metadata.ROOT]
		id, _ := theirKey(t, before).ID()
		keys[metadata.ROOT] = trusttest.Key("root" + string(rune('a'+i)))
		if err := root.Signed.RevokeKey(id, metadata.ROOT); err != nil {
			t.Fatal(err)
		}
		if err := root.Signed.AddKey(theirKey(t, keys[metadata.ROOT]), metadata.ROOT); err != nil {
			t.Fatal(err)
		}
		root.Signed.Version++
		if err := ours.UpdateRoot(theirBytes(t, root, before, keys[metadata.ROOT])); err != nil {
			t.Fatalf("root %d: %v", root.Signed.Version, err)
		}
	}

	list := metadata.Targets(expires)
	file, err := metadata.TargetFile().FromBytes("product/vlc/3.0-1/any", []byte("a manifest"))
	if err != nil {
		t.Fatal(err)
	}
	list.Signed.Targets["product/vlc/3.0-1/any"] = file
	depotKey := theirKey(t, keys["depot"])
	depotID, _ := depotKey.ID()
	list.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{depotID: depotKey},
		Roles: []metadata.DelegatedRole{{Name: "depot", KeyIDs: []string{depotID}, Threshold: 1, Terminating: true, Paths: trust.DepotPaths}}}
	depot := metadata.Targets(expires)
	depot.Signed.Targets["depot/d.example.org/product/vlc/3.0-1/any"] = file
	snapshot := metadata.Snapshot(expires)
	snapshot.Signed.Meta["depot.json"] = metadata.MetaFile(1)
	if newer, err := ours.UpdateTimestamp(theirBytes(t, metadata.Timestamp(expires), keys[metadata.TIMESTAMP])); err != nil || !newer {
		t.Fatal(newer, err)
	}
	if err := ours.UpdateSnapshot(theirBytes(t, snapshot, keys[metadata.SNAPSHOT])); err != nil {
		t.Fatal(err)
	}
	if err := ours.UpdateTargets("targets", theirBytes(t, list, keys[metadata.TARGETS])); err != nil {
		t.Fatal(err)
	}
	if err := ours.UpdateTargets("depot", theirBytes(t, depot, keys["depot"])); err != nil {
		t.Fatal(err)
	}
	for name, role := range map[string]string{"product/vlc/3.0-1/any": "targets", "depot/d.example.org/product/vlc/3.0-1/any": "depot"} {
		target, by, ok := ours.Find(name)
		if !ok || by != role {
			t.Fatalf("%s: %v by %q", name, ok, by)
		}
		if err := target.Check([]byte("a manifest")); err != nil {
			t.Error(err)
		}
	}
	if since, stale := ours.StaleSince(expires.Add(time.Second)); !stale || !since.Equal(expires) {
		t.Errorf("stale since %v: %v", since, stale)
	}
}

func theirKey(t *testing.T, k ed25519.PrivateKey) *metadata.Key {
	t.Helper()
	key, err := metadata.KeyFromPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := key.ID(); err != nil || id != trust.KeyID(trusttest.Public(k)) {
		t.Fatalf("the key has the id %s for go-tuf and %s for us: %v", id, trust.KeyID(trusttest.Public(k)), err)
	}
	return key
}

func theirBytes[T metadata.Roles](t *testing.T, doc *metadata.Metadata[T], keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	doc.ClearSignatures()
	for _, k := range keys {
		signer, err := signature.LoadSigner(k, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := doc.Sign(signer); err != nil {
			t.Fatal(err)
		}
	}
	data, err := doc.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
