package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// What is spoken follows from the Server header alone.
func TestNegotiation(t *testing.T) {
	for _, tt := range []struct{ server, codec, encoding string }{
		{"", "application/json", ""},
		{"nginx", "application/json", ""},
		{"opsiconfd 4.1.1.20", "application/json", ""},
		{"opsiconfd 4.2.0.170 (uvicorn)", "application/json", ""},
		{"opsiconfd 4.2.0.171 (uvicorn)", "application/msgpack", "lz4"},
		{"opsiconfd 4.3.24.1 (uvicorn)", "application/msgpack", "lz4"},
		{"opsiclientd config cache service 4.3.0", "application/msgpack", "lz4"},
		{ours, "application/msgpack", "zstd"},
	} {
		t.Run(tt.server, func(t *testing.T) {
			s := open(t, tt.server, Limits{})
			c := s.client(t, "client.branch.test")
			// The first small call costs one exchange and is safe everywhere.
			call(t, c, "echo", "x")
			if r, _ := s.last(); s.count() != 1 || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("first call: %d exchanges, the last %s", s.count(), r.Header.Get("Content-Type"))
			}
			big := strings.Repeat("y", compressAbove)
			v := call(t, c, "echo", big)
			if got := v.(map[string]any)["positional"].([]any)[0]; got != big {
				t.Errorf("echo: %d characters", len(got.(string)))
			}
			r, _ := s.last()
			if got := r.Header.Get("Content-Type"); got != tt.codec {
				t.Errorf("Content-Type %s, want %s", got, tt.codec)
			}
			if got := r.Header.Get("Content-Encoding"); got != tt.encoding {
				t.Errorf("Content-Encoding %q, want %q", got, tt.encoding)
			}
		})
	}
}

// A large first call greets before, so that it travels packed.
func TestGreetBeforeLargeCall(t *testing.T) {
	s := open(t, ours, Limits{})
	call(t, s.client(t, "h"), "echo", strings.Repeat("y", 1<<20))
	if r, body := s.last(); s.count() != 2 || s.requests[0].Method != "HEAD" || r.Header.Get("Content-Encoding") != "zstd" || len(body) > 1000 {
		t.Errorf("%d exchanges, the first %s, the last %q with %d bytes", s.count(), s.requests[0].Method, r.Header.Get("Content-Encoding"), len(body))
	}
	if name, err := s.client(t, "h").Greet(t.Context()); name != ours || err != nil {
		t.Errorf("Greet: %q, %v", name, err)
	}
}

func TestRowsTravel(t *testing.T) {
	rows := []fleet.Row{
		{"type": "OpsiClient", "id": "a.b.c", "notes": "Grüße <&>", "inventoryNumber": nil},
		{"type": "UnicodeConfig", "id": "x", "multiValue": true, "defaultValues": []any{"1", int64(1 << 60), false, nil}, "n": int64(-7)},
	}
	for _, server := range []string{"", ours} {
		s := open(t, server, Limits{})
		c := s.client(t, "h")
		call(t, c, "echo")
		if got, err := Rows(call(t, c, "get")); err != nil || len(got) != 0 {
			t.Errorf("no rows: %v, %v", got, err)
		}
		call(t, c, "put", rows[0], rows[1])
		got, err := Rows(call(t, c, "get"))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rows, got); d != "" {
			t.Errorf("server %q: rows differ (-sent +got):\n%s", server, d)
		}
	}
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	for _, server := range []string{"", ours} {
		s := open(t, server, Limits{})
		for _, f := range faults {
			c := s.client(t, "h") // a new one: Unavailable holds the old
			_, err := c.Call(t.Context(), methods.Actor{}, "fail", methods.Pos(string(f.code)))
			if got := fleet.CodeOf(err); got != f.code {
				t.Errorf("%s became %s: %v", f.code, got, err)
			}
			if f.code == fleet.Internal {
				if !strings.Contains(err.Error(), "internal error (request req-1)") {
					t.Errorf("internal error says %q", err)
				}
				continue
			}
			if err.Error() != "cannot fail: try again in 1m30s" || fleet.HintOf(err) != "try it another way" {
				t.Errorf("%s: %q, hint %q", f.code, err, fleet.HintOf(err))
			}
		}
	}
}

// A server that wants to be left alone is; package retry knows how long.
func TestRetryAfter(t *testing.T) {
	s := open(t, ours, Limits{})
	c := s.client(t, "busy")
	for range 2 {
		_, err := c.Call(t.Context(), methods.Actor{}, "get", methods.Params{})
		after, ok := errors.AsType[*RetryAfter](err)
		if !ok || after.Wait > 5*time.Second || after.Wait < 4*time.Second || fleet.CodeOf(err) != fleet.Unavailable {
			t.Fatalf("error %v", err)
		}
	}
	if s.count() != 1 {
		t.Errorf("asked %d times", s.count())
	}
	soon := time.Second // shorter than the server's wait, so that no second attempt begins
	err := retry.Do(t.Context(), retry.Policy{Elapsed: soon}, func(ctx context.Context) error {
		_, err := c.Greet(ctx)
		return err
	})
	if fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "after 1 attempts") {
		t.Errorf("retry: %v", err)
	}
}

// A server that wants two hours has a person wait for the client's patience only, and
// what is tried again by itself for as long as it may.
func TestRetryAfter_Patience(t *testing.T) {
	asked := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c, err := NewClient(Options{URL: s.URL, TLS: &tls.Config{RootCAs: pool}, Patience: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := c.Call(t.Context(), methods.Actor{}, "get", methods.Params{})
		after, ok := errors.AsType[*RetryAfter](err)
		if !ok || after.Wait > 5*time.Minute || after.Wait < 4*time.Minute {
			t.Errorf("a person: %v", err)
		}
		if wait := retry.Hint(err); wait < 59*time.Minute { // its own limit is an hour
			t.Errorf("by itself: after %v", wait)
		}
	}
	before := asked
	c.mu.Lock()
	c.until = time.Now().Add(-time.Second) // five minutes later
	c.mu.Unlock()
	if _, err := c.Call(t.Context(), methods.Actor{}, "get", methods.Params{}); err == nil || asked == before {
		t.Errorf("nothing was asked: %v", err)
	}
}

func TestParseRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": time.Minute, "x": time.Minute, "Wed, 21 Oct 2026 07:28:00 GMT": time.Minute,
		"0": time.Second, "-5": time.Second, "7": 7 * time.Second, "7201": 2 * time.Hour, "9000000000000000000": 2 * time.Hour,
	} {
		if got := parseRetryAfter(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, ours, Limits{})
	wrong := func(o *Options) { o.Password = func(context.Context) (string, error) { return "no", nil } }
	_, err := s.client(t, "h", wrong).Call(t.Context(), methods.Actor{}, "get", methods.Params{})
	if fleet.CodeOf(err) != fleet.Unauthenticated || !strings.Contains(err.Error(), `wrong password for "h"`) || fleet.HintOf(err) == "" {
		t.Errorf("wrong password: %v", err)
	}
	_, err = s.client(t, "h", wrong).Greet(t.Context()) // no body there: the text is in a header
	if fleet.CodeOf(err) != fleet.Unauthenticated || !strings.Contains(err.Error(), `wrong password for "h"`) {
		t.Errorf("wrong password, HEAD: %v", err)
	}
	if _, err = s.client(t, "locked").Greet(t.Context()); fleet.CodeOf(err) != fleet.Locked {
		t.Errorf("locked account: %v", err)
	}
	_, err = s.client(t, "h", func(o *Options) { o.URL += "/elsewhere" }).Call(t.Context(), methods.Actor{}, "get", methods.Params{})
	if fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Errorf("wrong path: %v", err)
	}
	_, err = s.client(t, "h", func(o *Options) { o.Limit = 5000 }).Call(t.Context(), methods.Actor{}, "text", methods.Pos(5000))
	if fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("answer over the limit: %v", err)
	}
	noPass := errors.New("key store is closed")
	_, err = s.client(t, "h", func(o *Options) { o.Password = func(context.Context) (string, error) { return "", noPass } }).Greet(t.Context())
	if !errors.Is(err, noPass) {
		t.Errorf("password function failed: %v", err)
	}
	if _, err = s.client(t, "h").Call(t.Context(), methods.Actor{}, "x", methods.Pos(struct{}{})); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("parameter that is no plain data: %v", err)
	}
}

func TestServerAway(t *testing.T) {
	s := open(t, ours, Limits{})
	c := s.client(t, "h")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ctx, methods.Actor{}, "get", methods.Params{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	s.Close()
	_, err := c.Call(t.Context(), methods.Actor{}, "get", methods.Params{})
	if fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(fleet.HintOf(err), "fernwerk status") {
		t.Errorf("server away: %v, hint %q", err, fleet.HintOf(err))
	}
}

// An answer that stops in the middle is the line's fault, not the data's.
func TestCutAnswer(t *testing.T) {
	for _, encoding := range []string{"", "zstd", "lz4", "deflate", "gzip"} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, _ := wire.Pack([]byte(`{"id":1,"result":"`+strings.Repeat("x", 1000)+`"}`), encoding)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100000")
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			w.Write(data[:len(data)/2])
		}))
		s.StartTLS()
		c, err := NewClient(Options{URL: s.URL, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), methods.Actor{}, "get", methods.Params{}); fleet.CodeOf(err) != fleet.Unavailable {
			t.Errorf("%q: %v", encoding, err)
		}
		c.http.CloseIdleConnections()
		s.Close()
	}
}

func TestSession(t *testing.T) {
	s := open(t, ours, Limits{})
	c := s.client(t, "h")
	if err := c.Logout(t.Context()); err != nil || s.count() != 0 {
		t.Errorf("logout without a session: %v, %d exchanges", err, s.count())
	}
	call(t, c, "get")
	call(t, c, "get")
	r, _ := s.last()
	if got, err := r.Cookie("opsiconfd-session"); err != nil || got.Value != session {
		t.Errorf("session: %v, %v", got, err)
	}
	if err := c.Logout(t.Context()); err != nil || s.logouts != 1 {
		t.Errorf("logout: %v, %d", err, s.logouts)
	}
	old := open(t, "opsiconfd 4.1.0", Limits{})
	c = old.client(t, "h")
	call(t, c, "get")
	if err := c.Logout(t.Context()); err != nil || old.logouts != 0 || old.count() != 2 {
		t.Errorf("logout of an old server: %v, %d, %d exchanges", err, old.logouts, old.count())
	}
}

func TestBatch(t *testing.T) {
	s := open(t, ours, Limits{Batch: 10})
	c := s.client(t, "h")
	if got, err := c.Batch(t.Context(), nil); got != nil || err != nil || s.count() != 0 {
		t.Errorf("empty batch: %v, %v", got, err)
	}
	calls := []Call{{"text", methods.Pos(1)}, {"fail", methods.Pos("denied")}, {"panic", methods.Params{}}, {"nonsense", methods.Params{}},
		{"fail", methods.Pos("unavailable")}, {"text", methods.Pos(2)}}
	for range 2 { // JSON, then MessagePack
		got, err := c.Batch(t.Context(), calls)
		if err != nil {
			t.Fatal(err)
		}
		var codes []fleet.Code
		for _, a := range got {
			codes = append(codes, fleet.CodeOf(a.Err))
		}
		if d := cmp.Diff([]fleet.Code{"", fleet.Denied, fleet.Internal, fleet.Internal, fleet.Unavailable, ""}, codes); d != "" {
			t.Error(d)
		}
		if got[0].Result != "fernwerk " || got[5].Result != "fernwerk fernwerk " {
			t.Errorf("results %v, %v", got[0], got[5])
		}
	}
	if _, err := c.Batch(t.Context(), make([]Call, 11)); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("11 calls: %v", err)
	}
}

// A server may answer anything; the client says so and does not panic.
func TestStrangeAnswers(t *testing.T) {
	for _, body := range []string{``, `null`, `7`, `"x"`, `[]`, `{}`, `[[]]`, `{"id":[],"result":1}`, `[{"id":{}}]`, `{"id":99,"result":1}`,
		`{"id":1,"error":7}`, `{"id":1,"error":[]}`, `{"id":1,"error":{"message":7,"data":8}}`, `{`, `<html>`} {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(body))
		}))
		c, err := NewClient(Options{URL: s.URL, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := c.Call(t.Context(), methods.Actor{}, "get", methods.Params{}); err == nil {
			t.Errorf("%s: result %v", body, v)
		}
		c.id.Store(0)
		if got, err := c.Batch(t.Context(), []Call{{Method: "get"}}); err == nil && got[0].Err == nil {
			t.Errorf("%s: batch result %v", body, got)
		}
		c.http.CloseIdleConnections()
		s.Close()
	}
}

// opsi answers a batch of one with a bare object.
func TestBatchOfOneFromOpsi(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"jsonrpc":"2.0","id":1,"result":"one"}`))
	}))
	defer s.Close()
	c, err := NewClient(Options{URL: s.URL, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	defer c.http.CloseIdleConnections()
	if got, err := c.Batch(t.Context(), []Call{{Method: "get"}}); err != nil || got[0].Result != "one" || got[0].Err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestErrorsOfOpsi(t *testing.T) {
	if err := parseFault(map[string]any{"code": "denied", "text": "t", "hint": "h"}); err.Code != fleet.Denied || err.Text != "t" || err.Next != "h" {
		t.Errorf("error of our HTTP services: %+v", err)
	}
	for class, want := range map[string]fleet.Code{
		"BackendMissingDataError": fleet.NotFound, "BackendPermissionDeniedError": fleet.Denied, "BackendBadValueError": fleet.Invalid,
		"BackendTemporaryError": fleet.Unavailable, "ValueError": fleet.Invalid, "BackendModuleDisabledError": fleet.NotHere,
		"BackendReferentialIntegrityError": fleet.Conflict, "ZeroDivisionError": fleet.Internal,
	} {
		for _, v := range []any{
			map[string]any{"code": int64(0), "message": "m", "data": map[string]any{"class": class, "details": nil}},
			map[string]any{"message": "m", "class": class, "details": nil},
		} {
			if err := parseFault(v); err.Code != want || err.Text != "m" {
				t.Errorf("%s: %s %q, want %s", class, err.Code, err.Text, want)
			}
		}
	}
}

func TestNewClientAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"https://depot.test":               "https://depot.test:4447/rpc",
		"https://depot.test/":              "https://depot.test:4447/rpc",
		"https://depot.test:4441/rpc":      "https://depot.test:4441/rpc",
		"https://u:p@depot.test/rpc?x=1#y": "https://depot.test:4447/rpc",
		"https://[::1]":                    "https://[::1]:4447/rpc",
		"unix:///run/x.sock":               "http://localhost/rpc",
		"http://depot.test":                "",
		"depot.test:4447":                  "",
		"https://":                         "",
		"unix:":                            "",
		"https://a b":                      "",
	} {
		c, err := NewClient(Options{URL: in})
		switch {
		case want == "" && fleet.CodeOf(err) != fleet.Invalid:
			t.Errorf("%s: error %v", in, err)
		case want != "" && err != nil:
			t.Errorf("%s: %v", in, err)
		case want != "" && c.url.String() != want:
			t.Errorf("%s: %s, want %s", in, c.url, want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(&Handler{Backend: &shelf{}, Authenticate: func(*http.Request) (methods.Actor, error) {
		return methods.Actor{Role: methods.Administrator, ID: "root"}, nil
	}})
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	defer s.Close()
	c, err := NewClient(Options{URL: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer c.http.CloseIdleConnections()
	if got := call(t, c, "text", 1); got != "fernwerk " {
		t.Errorf("got %v", got)
	}
}
