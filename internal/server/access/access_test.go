package access

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

const (
	pc1Key   = "0123456789abcdef0123456789abcdef"
	depotKey = "fedcba9876543210fedcba9876543210"
)

// door is an Access over a real database, with a clock that stands still.
type door struct {
	*testing.T
	*Access
	store *store.Store
	time  time.Time
}

func newDoor(t *testing.T) *door {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := &door{T: t, time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return d.time }
	if d.store, err = store.Open(t.Context(), db, now, Accounts, EndedSessions); err != nil {
		t.Fatal(err)
	}
	d.Access = New(d.store, slog.New(slog.DiscardHandler), now)
	d.write(func(tx *store.Tx) error {
		for _, h := range []fleet.Host{
			{Type: fleet.OpsiClient, ID: "pc1.example.org", HostKey: pc1Key, OneTimePassword: "once", HardwareAddress: "aa:bb:cc:dd:ee:ff", SystemUUID: "9f3f1c96-1821-413c-b850-0507a17c7e47"},
			{Type: fleet.OpsiClient, ID: "pc2.example.org", HostKey: methods.NewHostKey()},
			{Type: fleet.OpsiDepotserver, ID: "depot1.example.org", HostKey: depotKey},
		} {
			if err := tx.Put(fleet.Hosts, fleet.Hosts.Encode(h)); err != nil {
				return err
			}
		}
		for _, a := range accounts() {
			if err := tx.Put(Accounts, Accounts.Encode(a)); err != nil {
				return err
			}
		}
		return nil
	})
	return d
}

// accounts hashes once: that is slow on purpose.
var accounts = sync.OnceValue(func() []Account {
	return []Account{
		{Name: "admin", Role: "administrator", Password: hash("secret")},
		{Name: "reader", Role: "reader", Password: hash("look: only")},
	}
})

func (d *door) write(fn func(*store.Tx) error) {
	d.Helper()
	if err := d.store.Update(context.Background(), store.Origin{}, fn); err != nil {
		d.Fatal(err)
	}
}

func (d *door) host(id string) (h fleet.Host) {
	d.Helper()
	err := d.store.View(d.Context(), func(tx *store.Tx) error {
		rows, err := store.All[fleet.Host](tx, fleet.Hosts, fleet.Filter{"id": id})
		if len(rows) == 1 {
			h = rows[0]
		}
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
	return h
}

func credentials(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// try sends a request with an Authorization and a Cookie header.
func (d *door) try(authorization, cookie string) (methods.Actor, http.Header, error) {
	r := httptest.NewRequest(http.MethodPost, "/rpc", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	actor, err := d.Authenticate(w, r)
	return actor, w.Header(), err
}

func (d *door) in(user, password string) error {
	_, _, err := d.try(credentials(user, password), "")
	return err
}

// cookie logs in and returns the session's cookie.
func (d *door) cookie(user, password string) string {
	d.Helper()
	_, header, err := d.try(credentials(user, password), "")
	if err != nil {
		d.Fatal(err)
	}
	set, err := http.ParseSetCookie(header.Get("Set-Cookie"))
	if err != nil || !set.Secure || !set.HttpOnly || set.SameSite != http.SameSiteStrictMode || len(set.Value) > maxToken {
		d.Fatalf("cookie %q: %v", header.Get("Set-Cookie"), err)
	}
	return set.Name + "=" + set.Value
}

func TestWhoIsWho(t *testing.T) {
	for _, tt := range []struct {
		name, user, password string
		role                 methods.Role // empty: nobody
		id, newID            string
	}{
		{"an administrator", "admin", "secret", methods.Administrator, "admin", ""},
		{"in capitals", "ADMIN", "secret", methods.Administrator, "admin", ""},
		{"a password with a colon", "reader", "look: only", methods.Reader, "reader", ""},
		{"a wrong password", "admin", "Secret", "", "", ""},
		{"no password", "admin", "", "", "", ""},
		{"nobody", "root", "secret", "", "", ""},
		{"no name", "", "secret", "", "", ""},
		{"no possible name", "a b\x00", "secret", "", "", ""},
		{"a client", "pc1.example.org", pc1Key, methods.Host, "pc1.example.org", ""},
		{"with a trailing dot", "PC1.example.org.", pc1Key, methods.Host, "pc1.example.org", ""},
		{"another client's key", "pc2.example.org", pc1Key, "", "", ""},
		{"a client unknown", "pc3.example.org", pc1Key, "", "", ""},
		{"no wildcard", "*.example.org", pc1Key, "", "", ""},
		{"a depot", "depot1.example.org", depotKey, methods.Depot, "depot1.example.org", ""},
		{"a hardware address", "aa:bb:cc:dd:ee:ff", pc1Key, methods.Host, "pc1.example.org", "pc1.example.org"},
		{"a hardware address, in words", "{hardware_address}AA:BB:CC:DD:EE:FF", pc1Key, methods.Host, "pc1.example.org", "pc1.example.org"},
		{"a system UUID", "{system_uuid}9f3f1c96-1821-413c-b850-0507a17c7e47", pc1Key, methods.Host, "pc1.example.org", "pc1.example.org"},
		{"a wildcard for a UUID", "{system_uuid}*", pc1Key, "", "", ""},
		{"an unknown hardware address", "aa:bb:cc:dd:ee:00", pc1Key, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t)
			actor, header, err := d.try(credentials(tt.user, tt.password), "")
			if tt.role == "" {
				if fleet.CodeOf(err) != fleet.Unauthenticated || header.Get("Set-Cookie") != "" {
					t.Errorf("%v, header %v", err, header)
				}
				return
			}
			if err != nil || actor.Role != tt.role || actor.ID != tt.id || actor.Address != "192.0.2.1" {
				t.Errorf("%+v, %v", actor, err)
			}
			if got := header.Get(newHostID); got != tt.newID {
				t.Errorf("new id %q, want %q", got, tt.newID)
			}
			if header.Get(newHostKey) != "" {
				t.Error("a key was sent to somebody who has it")
			}
		})
	}
}

func TestTwoHostsOfOneHardwareAddressAreNobody(t *testing.T) {
	d := newDoor(t)
	d.write(func(tx *store.Tx) error {
		return tx.Patch(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "pc2.example.org", "hardwareAddress": "aa:bb:cc:dd:ee:ff"})
	})
	if err := d.in("aa:bb:cc:dd:ee:ff", pc1Key); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Error(err)
	}
}

func TestOneTimePasswordCountsOnce(t *testing.T) {
	d := newDoor(t)
	actor, header, err := d.try(credentials("pc1.example.org", "once"), "")
	if err != nil || actor.Role != methods.Host || header.Get(newHostKey) != pc1Key {
		t.Fatalf("%+v, %v, %v", actor, header, err)
	}
	if got := d.host("pc1.example.org").OneTimePassword; got != "" {
		t.Errorf("the password %q is left", got)
	}
	if err := d.in("pc1.example.org", "once"); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a second time: %v", err)
	}
	if err := d.in("pc2.example.org", ""); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a host without one: %v", err)
	}
}

func TestOneTimePasswordOfTwoAtOnceOneWins(t *testing.T) {
	d := newDoor(t)
	const many = freeFailures
	var wg sync.WaitGroup
	errs := make([]error, many)
	for i := range many {
		wg.Go(func() { errs[i] = d.in("pc1.example.org", "once") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch fleet.CodeOf(err) {
		case "":
			won++
		case fleet.Unauthenticated:
		default:
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d got in with one password", won)
	}
}

func TestSessionEndsWithItsCredential(t *testing.T) {
	for name, tt := range map[string]struct {
		user, password string
		change         func(*store.Tx) error
	}{
		"new host key": {"pc1.example.org", pc1Key, func(tx *store.Tx) error {
			return tx.Patch(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "pc1.example.org", "opsiHostKey": depotKey})
		}},
		"host deleted": {"pc1.example.org", pc1Key, func(tx *store.Tx) error {
			_, err := tx.Delete(fleet.Hosts, fleet.Filter{"id": "pc1.example.org"})
			return err
		}},
		"new password": {"admin", "secret", func(tx *store.Tx) error {
			return tx.Patch(Accounts, fleet.Row{"name": "admin", "password": hash("secret")})
		}},
		"new role": {"admin", "secret", func(tx *store.Tx) error {
			return tx.Patch(Accounts, fleet.Row{"name": "admin", "role": "reader"})
		}},
		"account deleted": {"admin", "secret", func(tx *store.Tx) error { return tx.Remove(Accounts, fleet.Row{"name": "admin"}) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			cookie := d.cookie(tt.user, tt.password)
			if _, _, err := d.try("", cookie); err != nil {
				t.Fatal(err)
			}
			d.write(tt.change)
			if _, _, err := d.try("", cookie); fleet.CodeOf(err) != fleet.Unauthenticated {
				t.Error("the session lives on")
			}
		})
	}
}
