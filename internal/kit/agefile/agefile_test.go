package agefile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age/armor"
)

var quick = Keeper{Work: 4}

func TestSealOpen(t *testing.T) {
	text, err := quick.Seal([]byte("the key"), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("the key")) || !strings.HasPrefix(string(text), "-----BEGIN AGE ENCRYPTED FILE-----\n") {
		t.Errorf("%s", text)
	}
	if _, err := io.ReadAll(armor.NewReader(bytes.NewReader(text))); err != nil {
		t.Errorf("age does not read the armour: %v", err)
	}
	if got, err := Open(text, "correct horse"); err != nil || string(got) != "the key" {
		t.Errorf("%q, %v", got, err)
	}
	for _, wrong := range []string{"", "battery", "correct horse "} {
		if got, err := Open(text, wrong); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%q opens it: %q, %v", wrong, got, err)
		}
	}
	if _, err := quick.Seal([]byte("x"), ""); err == nil {
		t.Error("sealed without a passphrase")
	}
	if _, err := quick.Seal(make([]byte, MaxSecret+1), "p"); err == nil {
		t.Error("sealed too much")
	}
}

func TestOpen_Damaged(t *testing.T) {
	text, err := quick.Seal([]byte("the key"), "p")
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if got, err := Open(bad, "p"); err == nil && string(got) != "the key" {
			t.Fatalf("byte %d changed: %q", i, got)
		}
	}
	plain, err := io.ReadAll(armor.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	var costly bytes.Buffer
	w := armor.NewWriter(&costly)
	if _, err := w.Write(bytes.Replace(plain, []byte(" 4\n"), []byte(" 21\n"), 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(costly.Bytes(), "p"); err == nil || !strings.Contains(err.Error(), "work factor too large") {
		t.Errorf("it did the work that a stranger's file asks for: %v", err)
	}
}
