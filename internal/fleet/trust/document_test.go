package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
)

// parse reads a document of any role, and gives it back as the parser holds it.
func parse(role string, data []byte) (trust.Document, []byte, error) {
	switch role {
	case trust.RoleRoot:
		d, err := trust.ParseRoot(data)
		if err != nil {
			return nil, nil, err
		}
		return d, d.Raw(), nil
	case trust.RoleSnapshot:
		d, err := trust.ParseSnapshot(data)
		if err != nil {
			return nil, nil, err
		}
		return d, d.Raw(), nil
	case trust.RoleTimestamp:
		d, err := trust.ParseTimestamp(data)
		if err != nil {
			return nil, nil, err
		}
		return d, d.Raw(), nil
	}
	d, err := trust.ParseTargets(role, data)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Raw(), nil
}

var allRoles = []string{trust.RoleRoot, trust.RoleTargets, trust.RoleSnapshot, trust.RoleTimestamp, trust.Depot}

// full is a repository in whose documents every field is used.
func full(t testing.TB) *trusttest.Repository {
	r := trusttest.New(t)
	r.Add(trust.UpdateName("017"), []byte("#!/bin/sh\n"))
	target := trust.TargetOf([]byte("manifest"))
	target.Custom, _ = trust.Scripts{"setupScript": "setup.sh", "onceScript": "b/c.py"}.Custom()
	r.Targets[trust.ProductName("vlc", "3.0", "1", "any")] = target
	r.Depot[trust.DepotName("d.example.org", "vlc", "3.0", "1", "any")] = trust.TargetOf([]byte("changed"))
	r.Publish(t)
	return r
}

func newest(r *trusttest.Repository, role string) []byte {
	return r.Files[trust.FileName(role, r.Versions[role])]
}

func TestDocuments_SignedAgainAreTheSame(t *testing.T) {
	r := full(t)
	for _, role := range allRoles {
		doc, raw, err := parse(role, newest(r, role))
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if again := trusttest.Sign(t, doc, r.Keys[role]...); !bytes.Equal(again, newest(r, role)) || !bytes.Equal(raw, again) {
			t.Errorf("%s: was\n%s\nprints as\n%s", role, newest(r, role), again)
		}
	}
}

// Attack 1, of documents: no byte can be changed. What still parses is not signed.
func TestAttack01_EveryFlippedByteIsRefused(t *testing.T) {
	r := full(t)
	root, _ := trust.ParseRoot(r.Root)
	list, _ := trust.ParseTargets(trust.RoleTargets, newest(r, trust.RoleTargets))
	for _, role := range allRoles {
		keys, who := root.Keys, root.Roles[role]
		if g, ok := list.Delegation(role); ok {
			keys, who = list.Keys, g.Role
		}
		data := bytes.Clone(newest(r, role))
		if err := trust.VerifyBy(role, data, keys, who); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		for i := range data {
			for _, bit := range []byte{1, 0x20, 0x80} {
				data[i] ^= bit
				if err := trust.VerifyBy(role, data, keys, who); err == nil {
					t.Errorf("%s: with another byte %d it is still believed", role, i)
				}
				data[i] ^= bit
			}
		}
	}
}

// The shapes that a parser must refuse, each made by changing one text of a good
// document.
func TestParse_Refuses(t *testing.T) {
	r := full(t)
	id := trust.KeyID(trusttest.Public(trusttest.Key(trust.RoleTargets)))
	other := trust.KeyID(trusttest.Public(trusttest.Key("other")))
	tests := []struct{ name, role, old, new string }{
		{"other type", trust.RoleRoot, `"_type":"root"`, `"_type":"targets"`},
		{"a timestamp as a snapshot", trust.RoleSnapshot, `"_type":"snapshot"`, `"_type":"timestamp"`},
		{"spec 2", trust.RoleRoot, `"spec_version":"1.0.31"`, `"spec_version":"2.0.0"`},
		{"version 0", trust.RoleTargets, `"version":2}`, `"version":0}`},
		{"version as text", trust.RoleTargets, `"version":2}`, `"version":"2"}`},
		{"expiry with a zone", trust.RoleRoot, `12:00:00Z"`, `12:00:00+00:00"`},
		{"expiry of no day", trust.RoleRoot, `2027-03-01T`, `2027-02-30T`},
		{"no consistent snapshot", trust.RoleRoot, `"consistent_snapshot":true`, `"consistent_snapshot":false`},
		{"key of another kind", trust.RoleRoot, `"scheme":"ed25519"`, `"scheme":"ecdsa-sha2-nistp256"`},
		{"key with another id", trust.RoleRoot, `"` + id + `":{"keytype"`, `"` + other + `":{"keytype"`},
		{"key id that is not there", trust.RoleRoot, `"keyids":["` + id + `"]`, `"keyids":["` + other + `"]`},
		{"threshold 0", trust.RoleRoot, `"threshold":1`, `"threshold":0`},
		{"threshold that cannot be met", trust.RoleRoot, `"threshold":1`, `"threshold":2`},
		{"role missing", trust.RoleRoot, `"timestamp":{`, `"mirrors":{`},
		{"signature twice", trust.RoleTargets, `{"signatures":[`, `{"signatures":[{"keyid":"` + id + `","sig":"00"},`},
		{"signature in capitals", trust.RoleTargets, `"sig":"`, `"sig":"A`},
		{"digest of another length", trust.RoleTargets, `"sha256":"`, `"sha256":"00`},
		{"only another digest", trust.RoleTargets, `{"sha256":"`, `{"sha512":"`},
		{"negative length", trust.RoleTargets, `"length":10`, `"length":-10`},
		{"name that climbs", trust.RoleTargets, `"update/017"`, `"update/../017"`},
		{"name from the root", trust.RoleTargets, `"update/017"`, `"/update/017"`},
		{"name with a backslash", trust.RoleTargets, `"update/017"`, `"update/\\017"`},
		{"delegation of a top role", trust.RoleTargets, `"name":"depot"`, `"name":"snapshot"`},
		{"delegation without end", trust.RoleTargets, `"terminating":true`, `"terminating":1`},
		{"no pattern", trust.RoleTargets, `"depot/*/product/*/*/*"`, `"depot/[/product"`},
		{"digest prefixes", trust.RoleTargets, `"paths":["depot/*/product/*/*/*"]`, `"path_hash_prefixes":["0"]`},
		{"targets not named", trust.RoleSnapshot, `"targets.json"`, `"zargets.json"`},
		{"file that is none", trust.RoleSnapshot, `"depot.json"`, `"../depot.json"`},
		{"announced version 0", trust.RoleSnapshot, `"version":2}`, `"version":0}`},
		{"another document in the timestamp", trust.RoleTimestamp, `"snapshot.json"`, `"targets.json"`},
		{"delegated list delegates", trust.Depot, `"expires"`, `"delegations":{"keys":{},"roles":[]},"expires"`},
		{"more than signed", trust.RoleRoot, `{"signatures":[`, `{"other":1,"signatures":[`},
	}
	for _, test := range tests {
		good := string(newest(r, test.role))
		changed := strings.Replace(good, test.old, test.new, 1)
		if changed == good {
			t.Errorf("%s: %q is not in %s", test.name, test.old, good)
			continue
		}
		_, _, err := parse(test.role, []byte(changed))
		if fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for _, role := range allRoles {
		long := append(bytes.Clone(newest(r, role)), make([]byte, trust.MaxSize(role))...)
		if _, _, err := parse(role, long); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %d bytes were read: %v", role, len(long), err)
		}
	}
	for _, role := range []string{"root", "snapshot", "../x", "", "Depot"} {
		if _, err := trust.ParseTargets(role, newest(r, trust.RoleTargets)); err == nil {
			t.Errorf("a list of the role %q", role)
		}
	}
}

// Attack 14: a key counts once, however often it is named or signs.
func TestAttack14_OneKeyCountsOnce(t *testing.T) {
	r := trusttest.New(t)
	one, two := trusttest.Key("one"), trusttest.Key("two")
	r.Keys[trust.RoleTargets], r.Threshold[trust.RoleTargets] = []ed25519.PrivateKey{one, two}, 2
	r.PublishRoot(t)
	root, err := trust.ParseRoot(r.Root)
	if err != nil {
		t.Fatal(err)
	}
	list := &trust.Targets{Header: trust.Header{Version: 1, Expires: r.Expires}}
	check := func(data []byte) error {
		return trust.VerifyBy(trust.RoleTargets, data, root.Keys, root.Roles[trust.RoleTargets])
	}
	once := trusttest.Sign(t, list, one, one)
	if err := check(once); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("one key made two signatures: %v", err)
	}
	ids, err := trust.Signers(trust.RoleTargets, once)
	if err != nil || len(ids) != 1 {
		t.Fatalf("it signed %v, %v", ids, err)
	}
	twice := strings.Replace(string(once), `"signatures":[{`, `"signatures":[{"keyid":"`+ids[0]+`","sig":"`+strings.Repeat("00", 64)+`"},{`, 1)
	if err := check([]byte(twice)); err == nil {
		t.Error("a signature was there twice")
	}
	// The same key under a second id, by another spelling of its hexadecimal digits.
	text := string(r.Root)
	public := fmt.Sprintf("%x", []byte(trusttest.Public(one)))
	if _, err := trust.ParseRoot([]byte(strings.Replace(text, public, strings.ToUpper(public), 1))); err == nil {
		t.Error("a key has two spellings")
	}
	both, err := trust.AddSignature(trust.RoleTargets, once, two)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(both); err != nil {
		t.Errorf("two keys: %v", err)
	}
	stranger, err := trust.AddSignature(trust.RoleTargets, once, trusttest.Key("stranger"))
	if err != nil {
		t.Fatal(err)
	}
	if err := check(stranger); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("a stranger's signature counted: %v", err)
	}
}

// Attack 16: of a signature there is one spelling. With the group's order added to
// its second half it would be another one for a careless verifier.
func TestAttack16_SignaturesAreNotMalleable(t *testing.T) {
	r := full(t)
	root, _ := trust.ParseRoot(r.Root)
	data := string(newest(r, trust.RoleTargets))
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	at := strings.Index(data, `"sig":"`) + len(`"sig":"`)
	sig, err := hex.DecodeString(data[at : at+128])
	if err != nil {
		t.Fatal(err)
	}
	half := slices.Clone(sig[32:])
	slices.Reverse(half) // little-endian
	sum := new(big.Int).Add(new(big.Int).SetBytes(half), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	changed := data[:at] + hex.EncodeToString(append(sig[:32:32], sum...)) + data[at+128:]
	if changed == data {
		t.Fatal("nothing was changed")
	}
	if err := trust.VerifyBy(trust.RoleTargets, []byte(changed), root.Keys, root.Roles[trust.RoleTargets]); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("another spelling of a signature: %v", err)
	}
}

func TestSign_RefusesWhatAReaderWould(t *testing.T) {
	h := trust.Header{Version: 1, Expires: trusttest.Start}
	deep := trust.TargetOf(nil)
	deep.Custom = []byte(strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9))
	for name, doc := range map[string]trust.Document{
		"no version":   &trust.Targets{},
		"bad name":     &trust.Targets{Header: h, Targets: map[string]trust.Target{"a/../b": {}}},
		"control name": &trust.Targets{Header: h, Targets: map[string]trust.Target{"a\nb": {}}},
		"custom":       &trust.Targets{Header: h, Targets: map[string]trust.Target{"a": {Custom: []byte(`{"b" : 1}`)}}},
		"deep custom":  &trust.Targets{Header: h, Targets: map[string]trust.Target{"a": deep}},
		"empty root":   &trust.Root{Header: h},
		"no targets":   &trust.Snapshot{Header: h},
		"no snapshot":  &trust.Timestamp{Header: h},
	} {
		if _, err := trust.Sign(doc, trusttest.Key("x")); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScripts(t *testing.T) {
	custom, err := trust.Scripts{"setupScript": "setup.sh"}.Custom()
	if err != nil || string(custom) != `{"scripts":{"setupScript":"setup.sh"}}` {
		t.Fatalf("%s, %v", custom, err)
	}
	got, err := trust.Target{Custom: custom}.Scripts()
	if err != nil || got["setupScript"] != "setup.sh" {
		t.Error(got, err)
	}
	for _, bad := range []string{``, `{}`, `{"scripts":[]}`, `{"scripts":{"setupScript":1}}`, `{"scripts":{"setup":"a"}}`, `{"scripts":{"setupScript":""}}`} {
		if s, err := (trust.Target{Custom: []byte(bad)}).Scripts(); err == nil {
			t.Errorf("%s: %v", bad, s)
		}
	}
	if _, err := (trust.Scripts{"setup": "x"}).Custom(); err == nil {
		t.Error("a field that is none was signed")
	}
}

func FuzzDocuments(f *testing.F) {
	r := full(f)
	for i, role := range allRoles {
		f.Add(byte(i), newest(r, role))
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		role := allRoles[int(which)%len(allRoles)]
		doc, raw, err := parse(role, data)
		if err != nil {
			return
		}
		if !bytes.Equal(raw, data) {
			t.Fatal("it is not what came")
		}
		again, err := trust.Encode(doc)
		if err != nil {
			t.Fatalf("%s was read and cannot be written: %v", data, err)
		}
		if _, _, err := parse(role, again); err != nil {
			t.Fatalf("%s is written as %s: %v", data, again, err)
		}
	})
}
