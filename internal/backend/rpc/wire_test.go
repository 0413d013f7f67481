package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a small Backend: it keeps rows, gives them back, and fails in every
// way there is.
type shelf struct {
	mu     sync.Mutex
	actors []methods.Actor
	rows   []fleet.Row
}

func (s *shelf) Call(ctx context.Context, actor methods.Actor, method string, p methods.Params) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actors = append(s.actors, actor)
	switch method {
	case "put":
		rows, err := Rows(p.Positional)
		s.rows = append(s.rows, rows...)
		return nil, err
	case "get":
		return s.rows, nil
	case "echo":
		return map[string]any{"positional": p.Positional, "named": p.Named}, nil
	case "text":
		return strings.Repeat("fernwerk ", int(p.Positional[0].(int64))), nil
	case "fail":
		code, _ := p.Positional[0].(string)
		if code == "" {
			return nil, errors.New("secret of the database")
		}
		return nil, fleet.WithHint(fleet.Errorf(fleet.Code(code), "cannot fail: %w", &RetryAfter{90e9}), "try it another way")
	case "panic":
		panic("out of shelf")
	case "nonsense":
		return struct{}{}, nil
	case "backend_exit":
		return nil, nil
	}
	return nil, fleet.Errorf(fleet.NotFound, "no method %q", method)
}

// station is a shelf behind a Handler behind real TLS, with the sessions that
// the real server's middleware keeps.
type station struct {
	*httptest.Server
	shelf *shelf
	log   *syncBuffer

	mu       sync.Mutex
	requests []*http.Request // as they came, bodies read
	bodies   [][]byte
	logouts  int
}

func (s *station) last() (*http.Request, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1], s.bodies[len(s.bodies)-1]
}

func (s *station) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

const session = "0123456789abcdef0123456789abcdef"

const ours = "opsiconfd 4.3.24 (fernwerk 1.0)"

func open(t testing.TB, server string, limits Limits) *station {
	s := &station{shelf: &shelf{}, log: &syncBuffer{}}
	h := &Handler{Backend: s.shelf, Authenticate: authenticate, Limits: limits, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	mux := http.NewServeMux()
	mux.Handle("/rpc", h)
	mux.Handle("/rpc/", h)
	mux.HandleFunc("POST /session/logout", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.logouts++
		s.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "opsiconfd-session", MaxAge: -1, Path: "/"})
	})
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, body)
		s.mu.Unlock()
		if server != "" {
			w.Header().Set("Server", server)
		}
		http.SetCookie(w, &http.Cookie{Name: "opsiconfd-session", Value: session, Path: "/", Secure: true, SameSite: http.SameSiteStrictMode, MaxAge: 120})
		mux.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func authenticate(r *http.Request) (methods.Actor, error) {
	if c, err := r.Cookie("opsiconfd-session"); err == nil && c.Value == session && r.Header.Get("Authorization") == "" {
		return methods.Actor{Role: methods.Reader, ID: "by-session"}, nil
	}
	user, password, _ := r.BasicAuth()
	switch {
	case password != "pass":
		return methods.Actor{}, fleet.Errorf(fleet.Unauthenticated, "wrong password for %q", user)
	case user == "locked":
		return methods.Actor{}, fleet.Errorf(fleet.Locked, "account is locked")
	case user == "busy":
		return methods.Actor{}, fleet.Errorf(fleet.Unavailable, "maintenance: %w", &RetryAfter{5e9})
	case user == "admin":
		return methods.Actor{Role: methods.Administrator, ID: user}, nil
	}
	return methods.Actor{Role: methods.Host, ID: user, Request: "req-1"}, nil
}

func (s *station) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func (s *station) client(t testing.TB, user string, change ...func(*Options)) *Client {
	t.Helper()
	cfg, err := pin.Config("127.0.0.1", s.ca(), "")
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{URL: s.URL, User: user, TLS: cfg, Password: func(context.Context) (string, error) { return "pass", nil }}
	for _, f := range change {
		f(&opts)
	}
	c, err := NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// send is a bare HTTP request, for what our client would not do.
func (s *station) send(t testing.TB, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", "pass")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Authorization" && value == "" {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, value)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}, DisableCompression: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func call(t testing.TB, c *Client, method string, args ...any) any {
	t.Helper()
	v, err := c.Call(t.Context(), methods.Actor{}, method, methods.Pos(args...))
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", method, err))
	}
	return v
}
