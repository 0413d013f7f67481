package access

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestPasswords(t *testing.T) {
	stored := hash("secret")
	if !matches(stored, "secret") || matches(stored, "Secret") || matches(stored, "") || stored == hash("secret") {
		t.Errorf("%s is wrong", stored)
	}
	for _, broken := range []string{"", "secret", "$argon2id$", strings.Replace(stored, "argon2id", "argon2i", 1), strings.Replace(stored, "v=19", "v=16", 1),
		strings.Replace(stored, "t=2", "t=0", 1), strings.Replace(stored, "p=1", "p=0", 1), stored[:strings.LastIndex(stored, "$")+1], stored + "!"} {
		if matches(broken, "secret") {
			t.Errorf("%q matches", broken)
		}
	}
	if matches(nobody, "") || matches(nobody, "secret") {
		t.Error("nobody has a password")
	}
}

func TestFirstAdministrator(t *testing.T) {
	d := newDoor(t)
	d.write(func(tx *store.Tx) error { _, err := tx.Delete(Accounts, fleet.Filter{}); return err })

	// A made password that could not be shown is not stored.
	unseen := errors.New("nobody looks")
	if err := d.FirstAdministrator(t.Context(), "", func(string, string) error { return unseen }); !errors.Is(err, unseen) {
		t.Fatal(err)
	}
	var made []string
	show := func(name, password string) error { made = append(made, password); return nil }
	for range 2 { // the second time there is one
		if err := d.FirstAdministrator(t.Context(), "", show); err != nil {
			t.Fatal(err)
		}
	}
	if len(made) != 1 || !regexp.MustCompile(`^[a-z2-9]{5}(-[a-z2-9]{5}){3}$`).MatchString(made[0]) {
		t.Fatalf("shown: %q", made)
	}
	if err := d.in("admin", made[0]); err != nil {
		t.Error(err)
	}
}
