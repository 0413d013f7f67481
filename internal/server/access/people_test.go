package access

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func cut(s string) (string, string, bool) { return strings.Cut(s, ":") }

func TestLogin_TellsWhoAndHow(t *testing.T) {
	d := newDoor(t)
	for _, c := range [][3]string{
		{"admin", "secret", "password"}, {"pc1.example.org", pc1Key, "host_key"}, {"pc1.example.org", "once", "host_onetime_password"},
		{"aa:bb:cc:dd:ee:ff", pc1Key, "host_key"}, {"{hardware_address}aa:bb:cc:dd:ee:ff", pc1Key, "host_key"},
		{"{system_uuid}9f3f1c96-1821-413c-b850-0507a17c7e47", pc1Key, "host_key"},
	} {
		_, h, err := d.try(credentials(c[0], c[1]), "")
		if err != nil || h.Get(http.CanonicalHeaderKey(authMethods)) != c[2] {
			t.Errorf("%s: %q, %v", c[0], h.Get(authMethods), err)
		}
	}
}

// A server that was brought up to date shows the accounts that it had.
func TestAccountsOfBefore_AreUsersToo(t *testing.T) {
	d := newDoor(t) // its accounts have no users
	if err := d.FirstAdministrator(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	err := d.store.View(t.Context(), func(tx *store.Tx) error {
		for _, name := range []string{"admin", "reader"} {
			if _, err := tx.Get(fleet.Users, fleet.Row{"id": name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLastAdministratorStays(t *testing.T) {
	d := newDoor(t)
	if err := d.RemoveAccount(t.Context(), "admin"); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("removed: %v", err)
	}
	if _, err := d.SetPassword(t.Context(), "admin", methods.Reader, "secret"); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("demoted: %v", err)
	}
	if _, err := d.SetPassword(t.Context(), "reader", methods.Administrator, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveAccount(t.Context(), "admin"); err != nil {
		t.Errorf("the first of two: %v", err)
	}
}

// Whatever an attacker does, a minute of it costs the journal a bounded number
// of entries, and no entry holds what he wrote.
func TestAudit_IsBounded(t *testing.T) {
	d := newDoor(t)
	if err := d.in("admin", "secret"); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		d.attempts.failed("account", fmt.Sprintf("guess%d", i), false, fmt.Sprintf("192.0.2.%d", i%250))
		d.attempts.failed("host", fmt.Sprintf("b%d.example.org", i), true, "192.0.2.1")
		d.attempts.refused(methods.Actor{Role: methods.Host, ID: "pc1.example.org"}, fmt.Sprintf("method%d", i))
	}
	d.attempts.write(t.Context())
	var all []store.Change
	err := d.store.View(t.Context(), func(tx *store.Tx) (err error) { all, err = tx.History(store.Look{}); return err })
	if err != nil {
		t.Fatal(err)
	}
	times, logins := int64(0), 0
	entries := 0
	for _, ch := range all {
		if ch.Op == opFailed || ch.Op == opRefused {
			entries++
			times += ch.After["times"].(int64)
		}
		if ch.Op == opLogin && ch.Key == "admin" && ch.Actor == "administrator admin" {
			logins++
		}
		if strings.Contains(fmt.Sprint(ch), "guess") {
			t.Errorf("a stranger's words: %v", ch)
		}
	}
	if entries > 2*attemptsMost+2 || times != 1500 || logins != 1 {
		t.Errorf("%d entries of %d times, %d logins", entries, times, logins)
	}
}
