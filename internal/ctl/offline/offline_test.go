package offline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
	"github.com/fernwerk/fernwerk/internal/kit/agefile"
)

const phrase = "correct horse battery"

func testRing() *Ring {
	return &Ring{Keeper: agefile.Keeper{Work: 4}, Ask: func(string) (string, error) { return phrase, nil }, New: func() (string, error) { return phrase, nil }}
}

func online(suffix string) Online {
	o := Online{}
	for _, role := range onlineRoles {
		o[role] = hexKey(trusttest.Public(trusttest.Key(role + suffix)))
	}
	return o
}

func hexKey(k trust.Key) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range k {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func newDir(t *testing.T) *Dir {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trust")
	if err := Init(path, Plan{RootKeys: 3, RootThreshold: 2, TargetsKeys: 1, TargetsThreshold: 1, Online: online("")}, testRing(), time.Now()); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Keys that were moved apart sign when their folders are named, and no sooner.
func TestKeysApart(t *testing.T) {
	d := newDir(t)
	away := t.TempDir()
	files, err := filepath.Glob(d.at(keysDir, "root-*.age"))
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, f := range files[1:] {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if err := os.Rename(f, filepath.Join(away, filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	_, err = d.Rotate(Rotation{Role: trust.RoleRoot}, testRing(), time.Now())
	if fleet.CodeOf(err) != fleet.NotFound || !strings.Contains(err.Error(), "1 of the 2 keys") || !strings.Contains(fleet.HintOf(err), filepath.Base(files[1])) {
		t.Fatalf("%v; %s", err, fleet.HintOf(err))
	}
	if d.Root().Version != 1 {
		t.Error("a root was made")
	}
	d.Keys = []string{away}
	if v, err := d.Rotate(Rotation{Role: trust.RoleRoot}, testRing(), time.Now()); err != nil || v != 2 {
		t.Fatal(v, err)
	}
	if _, err := d.Rotate(Rotation{Role: trust.RoleRoot, Key: "nosuchkey"}, testRing(), time.Now()); fleet.CodeOf(err) != fleet.NotFound {
		t.Error(err)
	}
}

// A file that holds another key than its name says signs nothing.
func TestKeyExchanged(t *testing.T) {
	d := newDir(t)
	other := newDir(t)
	mine, err := filepath.Glob(d.at(keysDir, "targets-*.age"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := filepath.Glob(other.at(keysDir, "targets-*.age"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(theirs[0])
	if err == nil {
		err = os.WriteFile(mine[0], text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sign(testRing(), time.Now()); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Error(err)
	}
}

func TestWrongPassphrase(t *testing.T) {
	d := newDir(t)
	asked := 0
	ring := testRing()
	ring.Ask = func(string) (string, error) { asked++; return strings.Repeat("wrong ", asked), nil }
	if _, err := d.Sign(ring, time.Now()); !errors.Is(err, agefile.ErrPassphrase) || fleet.CodeOf(err) != fleet.Unauthenticated || asked != attempts {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// What is on a stick may have been changed there.
func TestOpen_Damaged(t *testing.T) {
	for name, damage := range map[string]func(d *Dir) error{
		"a list of somebody": func(d *Dir) error {
			list := &trust.Targets{Header: trust.Header{Version: 2, Expires: time.Now()}, Targets: map[string]trust.Target{}}
			data, err := trust.Sign(list, trusttest.Key("somebody"))
			return errors.Join(err, os.WriteFile(d.at(listFile), data, 0o644))
		},
		"a root left out": func(d *Dir) error {
			if _, err := d.Rotate(Rotation{Online: online("new")}, testRing(), time.Now()); err != nil {
				return err
			}
			return os.Rename(d.at(rootsDir, "2.root.json"), d.at(rootsDir, "1.root.json"))
		},
		"no list":         func(d *Dir) error { return os.Remove(d.at(listFile)) },
		"an empty root":   func(d *Dir) error { return os.WriteFile(d.at(rootsDir, "1.root.json"), nil, 0o644) },
		"a root of noise": func(d *Dir) error { return os.WriteFile(d.at(rootsDir, "2.root.json"), []byte("{}"), 0o644) },
	} {
		d := newDir(t)
		if err := damage(d); err != nil {
			t.Fatal(err)
		}
		d.Close()
		again, err := Open(d.path)
		if err == nil { // it may be looked at, and repaired by a pull; nothing is signed on it
			_, err = again.Sign(testRing(), time.Now())
			again.Close()
		}
		if err == nil {
			t.Errorf("%s: signed on", name)
		}
	}
}

// A second command is told that the first one works.
func TestLock(t *testing.T) {
	d := newDir(t)
	if _, err := Open(d.path); fleet.CodeOf(err) != fleet.Locked {
		t.Error(err)
	}
}

func TestAdd_Refused(t *testing.T) {
	d := newDir(t)
	if err := d.Add(trust.ProductName("a", "1", "1", "any"), []byte("x"), nil); fleet.CodeOf(err) != fleet.Invalid {
		t.Error(err)
	}
	if err := d.Add(trust.UpdateName("000"), make([]byte, trust.MaxContent+1), nil); fleet.CodeOf(err) != fleet.TooLarge {
		t.Error(err)
	}
	if d.Changed() {
		t.Error("something was added")
	}
	if err := d.Add(trust.UpdateName("000"), []byte("x"), nil); err != nil || !d.Changed() {
		t.Error(err)
	}
	if _, err := d.Sign(testRing(), time.Now()); err != nil || d.Changed() || !d.Unpublished() {
		t.Error(err)
	}
	if data, err := d.Content(trust.UpdateName("000")); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}
