package access

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/test/require"
)

// newCookie is the cookie that an answer sets, "" if it sets none.
func newCookie(header http.Header) string {
	set, err := http.ParseSetCookie(header.Get("Set-Cookie"))
	if err != nil {
		return ""
	}
	return set.Name + "=" + set.Value
}

func TestSession(t *testing.T) {
	d := newDoor(t)
	cookie := d.cookie("pc1.example.org", pc1Key)
	good := func(authorization, shown string) bool {
		t.Helper()
		actor, header, err := d.try(authorization, shown)
		if err == nil && actor.ID != "pc1.example.org" {
			t.Errorf("%+v", actor)
		}
		if again := newCookie(header); again != "" && err == nil {
			cookie = again
		}
		return err == nil
	}
	for _, shown := range []string{cookie, "NULL; " + cookie, "NULL;" + cookie + ";;=;x", Cookie + "=; " + cookie, Cookie + "=nonsense; " + cookie, "a=\x00b; " + cookie} {
		if !good("", shown) {
			t.Errorf("%.40q does not count", shown)
		}
	}
	if !good(credentials("pc1.example.org", pc1Key), cookie) {
		t.Error("the session does not count beside its credentials")
	}
	broken := cookie[:len(cookie)-2] + strings.Map(func(r rune) rune { return 'A' + ('Z'-r)%26 }, cookie[len(cookie)-2:])
	for _, shown := range []string{Cookie + "=0123456789abcdef0123456789abcdef", Cookie + "=", broken, Cookie + "=" + strings.Repeat("A", 300), Cookie + "=" + strings.Repeat("A", 10_000)} {
		if good("", shown) {
			t.Errorf("an invented session counts: %.60q", shown)
		}
	}
	if good(credentials("pc1.example.org", "wrong"), cookie) {
		t.Error("a session counts more than the credentials beside it")
	}
	for range 3 { // each use prolongs it
		d.time = d.time.Add(sessionLife - time.Second)
		if !good("", cookie) {
			t.Fatal("the session ended early")
		}
	}
	d.time = d.time.Add(sessionLife + sessionLife/4 + time.Second)
	if good("", cookie) {
		t.Error("the session does not end")
	}
}

func TestSession_LifeThatTheClientWants(t *testing.T) {
	d := newDoor(t)
	for _, tt := range []struct {
		asked string
		life  time.Duration
	}{{"", sessionLife}, {"150", 150 * time.Second}, {"1", time.Second}, {" 86400 ", longestLife}, {"86401", sessionLife}, {"0", sessionLife}, {"-5", sessionLife}, {"1h", sessionLife}, {"99999999999999999999", sessionLife}} {
		r := httptest.NewRequest(http.MethodPost, "/rpc", nil)
		r.Header.Set("Authorization", credentials("pc1.example.org", pc1Key))
		r.Header.Set("X-opsi-session-lifetime", tt.asked)
		w := httptest.NewRecorder()
		if _, err := d.Authenticate(w, r); err != nil {
			t.Fatal(err)
		}
		set, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
		if err != nil || set.MaxAge != int(tt.life.Seconds()) {
			t.Errorf("%q: %+v, %v", tt.asked, set, err)
			continue
		}
		began := d.time
		d.time = began.Add(tt.life)
		if _, _, err := d.try("", set.Name+"="+set.Value); err != nil {
			t.Errorf("%q: ended before its life is over", tt.asked)
		}
		d.time = began.Add(longer(tt.life))
		if _, _, err := d.try("", set.Name+"="+set.Value); err == nil {
			t.Errorf("%q: lives on", tt.asked)
		}
		d.time = began
	}
}

// A login writes nothing; that is what a herd of ten thousand relies on.
func TestSession_IsNoRow(t *testing.T) {
	d := newDoor(t)
	before := d.position()
	for range 100 {
		d.cookie("pc1.example.org", pc1Key)
	}
	if after := d.position(); after != before {
		t.Errorf("revision %v became %v", before, after)
	}
	d.rows(0)
}

func (d *door) position() (p store.Position) {
	d.Helper()
	if err := d.store.View(d.Context(), func(tx *store.Tx) (err error) { p, err = tx.Position(); return err }); err != nil {
		d.Fatal(err)
	}
	return p
}

// rows checks how many ends of sessions are kept.
func (d *door) rows(want int) {
	d.Helper()
	err := d.store.View(d.Context(), func(tx *store.Tx) error {
		rows, err := tx.Select(EndedSessions, nil)
		if len(rows) != want {
			d.Errorf("%d ends are kept, want %d", len(rows), want)
		}
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
}

func (d *door) logout(cookie string) {
	d.Helper()
	r := httptest.NewRequest(http.MethodPost, "/session/logout", nil)
	r.Header.Set("Cookie", cookie)
	w := httptest.NewRecorder()
	if err := d.Logout(w, r); err != nil {
		d.Fatal(err)
	}
	if set, err := http.ParseSetCookie(w.Header().Get("Set-Cookie")); err != nil || set.MaxAge >= 0 {
		d.Errorf("cookie %v, %v", set, err)
	}
}

func (d *door) good(cookie string) bool {
	d.Helper()
	_, _, err := d.try("", cookie)
	if err != nil && fleet.CodeOf(err) != fleet.Unauthenticated {
		d.Fatal(err)
	}
	return err == nil
}

func TestLogout(t *testing.T) {
	d := newDoor(t)
	cookie, other := d.cookie("admin", "secret"), d.cookie("admin", "secret")
	begun := cookie
	d.time = d.time.Add(sessionLife - time.Second)
	_, header, err := d.try("", cookie)
	if cookie = newCookie(header); err != nil || cookie == "" {
		t.Fatal("it is not prolonged", err)
	}
	d.good(other)
	d.logout(begun)
	if d.good(cookie) || d.good(begun) {
		t.Error("the session lives on under a token of it")
	}
	if !d.good(other) {
		t.Error("another session of the account ended")
	}
	d.logout(begun)
	d.logout(Cookie + "=nonsense")
	d.rows(1)
	d.time = d.time.Add(3 * longer(sessionLife))
	if err := d.tidyEnded(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.rows(0)
}

// A restart, or another server of the fleet, knows the sessions: what is good
// and what was ended.
func TestSession_SurvivesARestart(t *testing.T) {
	d := newDoor(t)
	key := [32]byte{1, 2, 3}
	d.SealWith(key)
	cookie, ended := d.cookie("admin", "secret"), d.cookie("admin", "secret")
	d.logout(ended)
	d.Access = New(d.store, slog.New(slog.DiscardHandler), func() time.Time { return d.time })
	d.SealWith(key)
	if !d.good(cookie) {
		t.Error("the session is gone")
	}
	if d.good(ended) {
		t.Error("the ended session is good again")
	}
	d.SealWith([32]byte{4})
	if d.good(cookie) {
		t.Error("a session of a stranger's key counts")
	}
}

func TestEndSessions(t *testing.T) {
	d := newDoor(t)
	mine, other := d.cookie("pc1.example.org", pc1Key), d.cookie("admin", "secret")
	if err := d.EndSessions(t.Context(), store.Origin{Actor: "administrator admin"}, methods.Host, "pc1.example.org"); err != nil {
		t.Fatal(err)
	}
	if d.good(mine) || !d.good(other) {
		t.Errorf("ended %v, other %v", !d.good(mine), d.good(other))
	}
	d.time = d.time.Add(2 * time.Second)
	if !d.good(d.cookie("pc1.example.org", pc1Key)) {
		t.Error("it cannot begin another session")
	}
}

// Who logs in and out without end leaves a few rows.
func TestLogout_IsBounded(t *testing.T) {
	d := newDoor(t)
	for range 3 * endsOfOne {
		d.logout(d.cookie("pc1.example.org", pc1Key))
		d.time = d.time.Add(2 * time.Second)
	}
	n := len(d.ended.of("host pc1.example.org"))
	if n > endsOfOne {
		t.Errorf("%d rows", n)
	}
	d.rows(n + 1)
	if err := d.in("pc1.example.org", pc1Key); err != nil {
		t.Error(err)
	}
}

// Two servers on one database: what one ends, the other learns.
func TestEndedElsewhere(t *testing.T) {
	url := require.Postgres(t)
	now := func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }
	one := func() *door {
		db, err := postgres.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		s, err := store.Open(t.Context(), db, now, Accounts, EndedSessions)
		if err != nil {
			t.Fatal(err)
		}
		d := &door{T: t, Access: New(s, slog.New(slog.DiscardHandler), now), store: s}
		d.SealWith([32]byte{7})
		return d
	}
	a, b := one(), one()
	a.write(func(tx *store.Tx) error {
		return tx.Put(fleet.Hosts, fleet.Hosts.Encode(fleet.Host{Type: fleet.OpsiClient, ID: "pc1.example.org", HostKey: pc1Key}))
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- b.store.Serve(ctx) }()
	go func() { done <- b.Serve(ctx) }()
	defer func() { stop(); <-done; <-done }()
	for i := range 3 {
		cookie := a.cookie("pc1.example.org", pc1Key)
		if !b.good(cookie) {
			t.Fatal("the other server does not know the session")
		}
		a.logout(cookie)
		late := time.After(20 * time.Second)
		for b.good(cookie) {
			select {
			case <-late:
				t.Fatal("it lives on there", i)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

// Two servers saw a host: the later contact stays, whoever writes last.
func TestSeen_TheLaterContactStays(t *testing.T) {
	d := newDoor(t)
	see := func(address string, at time.Time) {
		t.Helper()
		d.seen = newSeen() // of another server
		d.seen.note("pc1.example.org", address, at)
		d.writeSeen(t.Context())
	}
	see("10.0.0.2", d.time.Add(time.Minute))
	see("10.0.0.1", d.time)
	if h := d.host("pc1.example.org"); h.IPAddress != "10.0.0.2" || h.LastSeen != d.time.Add(time.Minute).Format(time.DateTime) {
		t.Errorf("%+v", h)
	}
}

// What cannot be written now is written later.
func TestSeen_KeepsWhatFailed(t *testing.T) {
	d := newDoor(t)
	if err := d.in("pc1.example.org", pc1Key); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	d.writeSeen(gone)
	if h := d.host("pc1.example.org"); h.LastSeen != "" {
		t.Fatalf("%+v", h)
	}
	d.writeSeen(t.Context())
	if h := d.host("pc1.example.org"); h.LastSeen == "" {
		t.Error("the contact is lost")
	}
}

func FuzzToken(f *testing.F) {
	k := newSealer([32]byte{1})
	now := time.Unix(1_800_000_000, 0)
	s := &session{begun: now, issued: now, life: sessionLife, role: methods.Host, actor: "pc1.example.org"}
	f.Add(k.seal(s))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if got, ok := k.open(token, now); ok && got.actor != s.actor {
			t.Errorf("%q opens as %+v", token, got)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	k := newSealer([32]byte{1})
	now := time.Unix(1_800_000_000, 0)
	token := k.seal(&session{begun: now, issued: now, life: sessionLife, role: methods.Host, actor: "pc1.example.org"})
	for b.Loop() {
		if _, ok := k.open(token, now); !ok {
			b.Fatal(fmt.Sprint(len(token)))
		}
	}
}

// Whoever has a copy of a session cannot make it outlive the end of it: not by
// asking for a longer life before the logout.
func TestLogout_EndsEveryTokenOfTheSession(t *testing.T) {
	d := newDoor(t)
	cookie := d.cookie("admin", "secret")
	r := httptest.NewRequest(http.MethodPost, "/rpc", nil)
	r.Header.Set("Cookie", cookie)
	r.Header.Set(lifetimeHeader, "86400")
	w := httptest.NewRecorder()
	if _, err := d.Authenticate(w, r); err != nil {
		t.Fatal(err)
	}
	copied := newCookie(w.Header())
	if copied == "" {
		copied = cookie
	}
	d.logout(cookie)
	for range 24 {
		d.time = d.time.Add(time.Hour)
		if err := d.tidyEnded(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.good(copied) {
			t.Fatalf("a token of the session is good again at %v", d.time)
		}
	}
}

// A token that was sealed while a server's clock was far ahead does not live
// until the time it says.
func TestSession_OfAClockThatWasAhead(t *testing.T) {
	d := newDoor(t)
	right := d.time
	d.time = right.Add(clocksDiffer)
	little := d.cookie("admin", "secret")
	d.time = right.AddDate(4, 0, 0)
	far := d.cookie("admin", "secret")
	d.time = right
	if !d.good(little) {
		t.Error("the clocks of two servers differ a little")
	}
	if d.good(far) {
		t.Error("a session of four years hence counts")
	}
}
