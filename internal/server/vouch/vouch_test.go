package vouch

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// server is a config server that knows two hosts and an administrator. What it
// is asked it counts.
type server struct {
	*httptest.Server
	asked   int
	status  int // of all answers, where it is not 0
	deleted string
	now     time.Time
	voucher *Voucher
}

func newServer(t *testing.T) *server {
	s := &server{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked++
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		if r.URL.Path != "/rpc" || string(body) != question || r.Header.Get(NoContact) == "" {
			t.Errorf("asked %s %s", r.URL, body)
		}
		switch {
		case s.status < 0: // no answer at all
			panic(http.ErrAbortHandler)
		case s.status != 0:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(s.status)
		case user == s.deleted || password != "right":
			w.WriteHeader(http.StatusUnauthorized)
		case user == "once.example.org":
			w.Header().Set("X-Opsi-New-Host-Key", "the key")
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{"id":"once.example.org","role":"host"}}`)
		case user == "admin" && s.asked > 1 && r.Header.Get("Cookie") != "opsiconfd-session=token":
			t.Errorf("the session is not kept: %q", r.Header.Get("Cookie"))
		case user == "admin":
			if r.Header.Get("X-Opsi-Mfa-Otp") != "123456" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "opsiconfd-session", Value: "token"})
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{"id":"admin","role":"administrator"}}`)
		case user == "odd":
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{"id":"odd","role":"emperor"}}`)
		case user == "mute":
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"error":{"message":"no such method"}}`)
		default:
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"id":%q,"role":"host"}}`, user)
		}
	}))
	t.Cleanup(s.Close)
	s.voucher = New(s.URL, s.Client().Transport.(*http.Transport).TLSClientConfig, slog.New(slog.DiscardHandler), func() time.Time { return s.now })
	return s
}

func (s *server) login(user, password string, header ...string) (methods.Actor, http.Header, error) {
	r := httptest.NewRequest("GET", "https://depot/depot/x", nil)
	r.RemoteAddr = "192.0.2.7:1000"
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a, err := s.voucher.Authenticate(w, r)
	return a, w.Header(), err
}

func (s *server) wants(t *testing.T, what string, err error, code fleet.Code, asked int) {
	t.Helper()
	got := fleet.Code("")
	if err != nil {
		got = fleet.CodeOf(err)
	}
	if got != code || s.asked != asked {
		t.Errorf("%s: %v (%q, want %q), asked %d times, want %d", what, err, got, code, s.asked, asked)
	}
}

func TestAuthenticate(t *testing.T) {
	s := newServer(t)
	a, _, err := s.login("pc1.example.org", "right")
	s.wants(t, "first", err, "", 1)
	if a != (methods.Actor{Role: methods.Host, ID: "pc1.example.org", Address: "192.0.2.7"}) {
		t.Errorf("%+v", a)
	}
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "remembered", err, "", 1)
	_, _, err = s.login("pc1.example.org", "wrong")
	s.wants(t, "another password", err, fleet.Unauthenticated, 2)
	_, _, err = s.login("", "")
	s.wants(t, "nobody", err, fleet.Unauthenticated, 2)
	_, _, err = s.login(strings.Repeat("x", 9000), "right")
	s.wants(t, "far too long", err, fleet.Unauthenticated, 2)
	s.now = s.now.Add(2 * time.Minute)
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "asked again", err, "", 3)
	s.deleted, s.now = "pc1.example.org", s.now.Add(2*time.Minute)
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "deleted", err, fleet.Unauthenticated, 4)
	s.Close()
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "deleted, and nobody to ask", err, fleet.Unavailable, 4)
}

func TestAuthenticate_Others(t *testing.T) {
	s := newServer(t)
	_, header, err := s.login("once.example.org", "right")
	if s.wants(t, "one-time password", err, "", 1); header.Get("X-Opsi-New-Host-Key") != "the key" {
		t.Errorf("its key is not passed on: %v", header)
	}
	if len(s.voucher.known) != 0 {
		t.Error("a one-time password is remembered")
	}
	s.deleted = "once.example.org" // to the config server the password is used up
	if _, _, err = s.login("once.example.org", "right"); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a one-time password is good twice: %v", err)
	}
	s.asked = 1
	_, _, err = s.login("odd", "right")
	s.wants(t, "a role that nobody has", err, fleet.Denied, 2)
	_, _, err = s.login("mute", "right")
	s.wants(t, "no answer", err, fleet.Unavailable, 3)
	s.status = http.StatusServiceUnavailable
	_, _, err = s.login("pc2.example.org", "right")
	if s.wants(t, "to wait", err, fleet.Unavailable, 4); !strings.Contains(err.Error(), "try again in 7s") {
		t.Error(err)
	}
}

// Hosts that are known are served for a day while nobody can be asked; people
// are not, and their session is used for the next question: a second factor
// counts once.
func TestAway(t *testing.T) {
	s := newServer(t)
	_, _, err := s.login("admin", "right", "X-Opsi-Mfa-Otp", "123456")
	s.wants(t, "administrator", err, "", 1)
	s.now = s.now.Add(2 * time.Minute)
	_, _, err = s.login("admin", "right", "X-Opsi-Mfa-Otp", "123456")
	s.wants(t, "administrator again", err, "", 2)
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "host", err, "", 3)
	s.status, s.now = http.StatusBadGateway, s.now.Add(23*time.Hour)
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "host, away", err, "", 4)
	_, _, err = s.login("admin", "right", "X-Opsi-Mfa-Otp", "123456")
	s.wants(t, "administrator, away", err, fleet.Unavailable, 5)
	s.now = s.now.Add(2 * time.Hour)
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "host, away for more than a day", err, fleet.Unavailable, 6)
	s.status = 0
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "back", err, "", 7)
	r := httptest.NewRequest("POST", "https://depot/session/logout", nil)
	r.SetBasicAuth("pc1.example.org", "right")
	s.voucher.Logout(httptest.NewRecorder(), r)
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "after a logout", err, "", 8)
}

// A config server that answers nothing is not asked for each request of a known
// host: each would wait for it.
func TestAway_CostsLittle(t *testing.T) {
	s := newServer(t)
	for i, host := range []string{"pc1.example.org", "pc2.example.org"} {
		_, _, err := s.login(host, "right")
		s.wants(t, host, err, "", i+1)
	}
	s.status, s.now = -1, s.now.Add(time.Hour)
	_, _, err := s.login("pc1.example.org", "right")
	s.wants(t, "the first", err, "", 3)
	for _, host := range []string{"pc1.example.org", "pc2.example.org", "pc1.example.org"} {
		_, _, err := s.login(host, "right")
		s.wants(t, host+" after it", err, "", 3)
	}
	_, _, err = s.login("stranger.example.org", "right")
	s.wants(t, "one who is not known", err, fleet.Unavailable, 4)
	s.now = s.now.Add(away + time.Second)
	s.status, s.deleted = 0, "pc1.example.org"
	_, _, err = s.login("pc1.example.org", "right")
	s.wants(t, "deleted meanwhile", err, fleet.Unauthenticated, 5)
}

func TestRemember_IsBounded(t *testing.T) {
	v := New("https://127.0.0.1:1", nil, slog.New(slog.DiscardHandler), time.Now)
	for i := range maxKnown + 1000 {
		v.remember([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, word{asked: time.Now(), used: time.Now()})
	}
	if len(v.known) > maxKnown {
		t.Errorf("%d are known", len(v.known))
	}
}
