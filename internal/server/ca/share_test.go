package ca

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// An authority that was made for several servers is the same in each folder.
func TestBundle(t *testing.T) {
	c := newClock()
	one, err := keyring.Make("fleet.example.org", c.now)
	if err != nil {
		t.Fatal(err)
	}
	var prints []string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "ca")
		if _, err := keyring.Read(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an empty folder: %v", err)
		}
		for range 2 { // again changes nothing
			if err := one.Write(dir); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		a := open(t, dir, c)
		prints = append(prints, a.Fingerprint())
		certificate(t, a, names...) // its key is there
		if again, err := keyring.Read(dir); err != nil || !bytes.Equal(again, one) {
			t.Errorf("it reads back as %q, %v", again, err)
		}
	}
	if prints[0] != prints[1] {
		t.Errorf("%q", prints)
	}
}

func TestBundle_Refuses(t *testing.T) {
	c := newClock()
	one, err := keyring.Make("one", c.now)
	if err != nil {
		t.Fatal(err)
	}
	two, err := keyring.Make("two", c.now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := one.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := two.Write(dir); fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
		t.Errorf("another authority: %v", err)
	}
	cut := bytes.Index(one, []byte("-----BEGIN PRIVATE"))
	other := bytes.Index(two, []byte("-----BEGIN PRIVATE"))
	for name, bad := range map[string]keyring.Bundle{
		"nothing":       nil,
		"text":          keyring.Bundle("hello"),
		"another's key": append(bytes.Clone(one[:cut]), two[other:]...),
		"key only":      one[cut:],
	} {
		empty := filepath.Join(t.TempDir(), "ca")
		if err := bad.Write(empty); err == nil {
			t.Errorf("%s is written", name)
		}
		if _, err := os.Stat(empty); err == nil {
			t.Errorf("%s left something", name)
		}
	}
	// The root's key may be kept elsewhere.
	empty := filepath.Join(t.TempDir(), "ca")
	if err := keyring.Bundle(one[:cut]).Write(empty); err != nil {
		t.Error(err)
	}
}
