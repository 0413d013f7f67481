package access

import (
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/test/require"
)

// The vectors of RFC 6238, appendix B, for SHA-1; of their eight digits the last
// six are ours.
func TestCodes_AreThoseOfTheRFC(t *testing.T) {
	key := []byte("12345678901234567890")
	secret := base32.StdEncoding.EncodeToString(key)
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := codeAt(key, at/30); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
		for off, right := range map[time.Duration]bool{0: true, -30: true, 30: true, 61: false, -61: false} {
			now := time.Unix(at-at%30, 0).Add(off * time.Second)
			if _, ok := codeStepOf(secret, want, 0, now); ok != right {
				t.Errorf("at %d, seen %d s later: %t", at, off, ok)
			}
		}
		if _, ok := codeStepOf(secret, want, at/30, time.Unix(at, 0)); ok {
			t.Errorf("at %d: a second time", at)
		}
	}
	for _, code := range []string{"", "0", "28708", "2870821", "287o82"} {
		if _, ok := codeStepOf(secret, code, 0, time.Unix(59, 0)); ok {
			t.Errorf("%q counts", code)
		}
	}
}

// withCodes turns one-time codes on for an account and returns the key.
func (d *door) withCodes(name string) []byte {
	d.Helper()
	p := d.Accounts("server.example.org")
	secret, uri, err := p.BeginCodes(d.Context(), store.Origin{}, name)
	if err != nil {
		d.Fatal(err)
	}
	if want := "otpauth://totp/server.example.org:" + name + "?secret=" + secret + "&issuer=server.example.org"; uri != want {
		d.Errorf("%s, want %s", uri, want)
	}
	key, err := codeAlphabet.DecodeString(secret)
	if err != nil || len(key) != 20 {
		d.Fatal(err)
	}
	if err := p.ConfirmCodes(d.Context(), store.Origin{}, name, "000000"); fleet.CodeOf(err) != fleet.Denied {
		d.Errorf("a wrong code confirms: %v", err)
	}
	if err := p.ConfirmCodes(d.Context(), store.Origin{}, name, d.code(key)); err != nil {
		d.Fatal(err)
	}
	d.time = d.time.Add(codeStep)
	return key
}

func (d *door) code(key []byte) string { return codeAt(key, d.time.Unix()/30) }

func (d *door) withHeader(user, password, code string) error {
	r := httptest.NewRequest(http.MethodPost, "/rpc", nil)
	r.Header.Set("Authorization", credentials(user, password))
	r.Header.Set(mfaCode, code)
	_, err := d.Authenticate(httptest.NewRecorder(), r)
	return err
}

func TestLogin_WithCode(t *testing.T) {
	d := newDoor(t)
	before := d.cookie("admin", "secret")
	key := d.withCodes("admin")
	if _, _, err := d.try("", before); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a session of before goes on: %v", err)
	}
	if err := d.in("admin", "secret"); fleet.CodeOf(err) != fleet.Unauthenticated || fleet.HintOf(err) == "" {
		t.Errorf("without a code: %v", err)
	}
	if err := d.in("admin", "wrong!"+d.code(key)); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a right code behind a wrong password: %v", err)
	}
	code := d.code(key)
	if err := d.in("admin", "secret"+code); err != nil {
		t.Errorf("appended: %v", err)
	}
	if err := d.in("admin", "secret"+code); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("appended a second time: %v", err)
	}
	if err := d.withHeader("admin", "secret", code); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a second time, as a header: %v", err)
	}
	d.time = d.time.Add(codeStep)
	if err := d.withHeader("admin", "secret", d.code(key)); err != nil {
		t.Errorf("as a header: %v", err)
	}
	if err := d.in("reader", "look: only"); err != nil {
		t.Errorf("somebody without codes: %v", err)
	}
	d.time = d.time.Add(codeStep)
	if err := d.RemoveCodes(t.Context(), "admin"); err != nil {
		t.Fatal(err)
	}
	if err := d.in("admin", "secret"); err != nil {
		t.Errorf("after the codes were turned off: %v", err)
	}
}

// Whoever knows the password does not get many tries at the code.
func TestLogin_WrongCodesCount(t *testing.T) {
	d := newDoor(t)
	key := d.withCodes("admin")
	tries := 0
	for range 24 {
		for fleet.CodeOf(d.withHeader("admin", "secret", "x")) == fleet.Unauthenticated {
			tries++
		}
		d.time = d.time.Add(longestCodeWait)
	}
	if tries > 24+2*freeFailures {
		t.Errorf("%d tries in six hours", tries)
	}
	d.time = d.time.Add(time.Hour)
	if err := d.withHeader("admin", "secret", d.code(key)); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

// A code that many bring at once, to several servers of one database, lets one in.
func TestLogin_ACodeCountsOnceAmongServers(t *testing.T) {
	address := require.Postgres(t)
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	var doors []*Access
	for range 2 {
		db, err := postgres.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		s, err := store.Open(t.Context(), db, now, Accounts)
		if err != nil {
			t.Fatal(err)
		}
		doors = append(doors, New(s, slog.New(slog.DiscardHandler), now))
	}
	key := []byte("12345678901234567890")
	acc := Account{Name: "admin", Role: string(methods.Administrator), Password: hash("secret"), Secret: codeAlphabet.EncodeToString(key)}
	err := doors[0].store.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error { return put(tx, acc) })
	if err != nil {
		t.Fatal(err)
	}
	var in atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, _, err := doors[i%2].loginAccount(t.Context(), "admin", "secret", codeAt(key, now().Unix()/30), "192.0.2.1")
			if err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d came in by one code", in.Load())
	}
}

// A branch office is one address: who fails there delays himself only.
func TestFailedLogins_OneBranchOneAddress(t *testing.T) {
	d := newDoor(t)
	const hosts = 200
	key := func(i int) string { return fmt.Sprintf("%032x", i+1) }
	d.write(func(tx *store.Tx) error {
		for i := range hosts {
			h := fleet.Row{"type": fleet.OpsiClient, "id": fmt.Sprintf("b%d.example.org", i), "opsiHostKey": key(i)}
			if err := tx.Put(fleet.Hosts, h); err != nil {
				return err
			}
		}
		return nil
	})
	for range 30 { // all requests have one address, that of httptest
		if err := d.in("b0.example.org", "not its key"); err == nil {
			t.Fatal("a wrong key is right")
		}
	}
	if err := d.in("b0.example.org", "not its key"); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("the one with the bad key need not wait: %v", err)
	}
	for i := 1; i < hosts; i++ {
		if err := d.in(fmt.Sprintf("b%d.example.org", i), key(i)); err != nil {
			t.Fatalf("host %d: %v", i, err)
		}
	}
	for _, name := range []string{"admin:secret", "reader:look: only"} {
		user, password, _ := cut(name)
		if err := d.in(user, password); err != nil {
			t.Errorf("%s at the same address: %v", user, err)
		}
	}
}
