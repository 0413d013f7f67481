package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// echo answers with who came and how much he brought.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	actor, err := Actor(r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, r, fleet.Errorf(fleet.TooLarge, "too large: %w", err))
		return
	}
	answer(w, http.StatusOK, map[string]any{"role": actor.Role, "request": actor.Request, "bytes": len(body)})
})

// asked answers whoever comes, echoAll as well: their parts know by themselves who
// may have what.
func asked(http.ResponseWriter, *http.Request) (any, int, error) {
	return map[string]any{}, http.StatusOK, nil
}

var echoAll = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{}) })

// everything is a server with all parts. Basic credentials name the role, the
// user "slow" has to wait, "broken" breaks the login.
func everything(log io.Writer) *Server {
	return &Server{
		Version: "1.2.3", Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
		Parts: Parts{
			RPC: echo, Chunks: echo, Packages: echo, WebDAV: echo,
			Trust: echo, Updates: echo,
			Join: asked, Renew: asked, Contact: asked, Revocations: echoAll,
			Bus:        echo,
			Repository: echo, Workbench: echo,
			Tunnel: asked,
			Files:  asked, FileBlob: asked,
			Mesh: asked, LAN: asked, BareNodes: echoAll, Feed: echoAll,
			Authority: func() []byte { return []byte("-----BEGIN") },
			Authenticate: func(w http.ResponseWriter, r *http.Request) (methods.Actor, error) {
				role, _, ok := r.BasicAuth()
				switch {
				case !ok:
					return methods.Actor{}, fleet.Errorf(fleet.Unauthenticated, "cannot answer without a name")
				case role == "slow":
					return methods.Actor{}, fleet.Errorf(fleet.Unavailable, "cannot log in: %w", &rpc.RetryAfter{Wait: 1500 * time.Millisecond})
				case role == "broken":
					return methods.Actor{}, errors.New("the database has a secret")
				}
				return methods.Actor{Role: methods.Role(role), ID: "x"}, nil
			},
			Logout:  func(http.ResponseWriter, *http.Request) error { return nil },
			Health:  func(context.Context) (any, error) { return map[string]string{"database": "ok"}, nil },
			Metrics: echo, Token: "a long enough token",
		},
	}
}

func ask(t *testing.T, s *Server, method, path, role string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, "https://server"+path, body)
	if role != "" {
		r.SetBasicAuth(role, "x")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every route says who may use it, and it is so.
func TestEveryRouteIsGuarded(t *testing.T) {
	roles := []methods.Role{"", methods.Host, methods.Depot, methods.Reader, methods.Operator, methods.Administrator}
	s := everything(io.Discard)
	for _, r := range s.routes() {
		method, path, found := strings.Cut(r.pattern, " ")
		if !found {
			method, path = http.MethodPost, r.pattern
		}
		for _, role := range roles {
			want := http.StatusOK
			switch {
			case path == "/":
				want = http.StatusNotFound
			case r.access != public && role == "":
				want = http.StatusUnauthorized
			case r.access == administrators && role != methods.Administrator,
				r.access == watchers && role != methods.Administrator && role != methods.Reader:
				want = http.StatusForbidden
			}
			w := ask(t, s, method, path, string(role), nil)
			if w.Code != want {
				t.Errorf("%s %s as %q: %d, want %d", method, path, role, w.Code, want)
			}
			if asks := w.Header().Get("WWW-Authenticate") != ""; asks != (want == http.StatusUnauthorized) {
				t.Errorf("%s %s as %q: asks for a password: %v", method, path, role, asks)
			}
		}
	}
}

// The only paths that are open to anybody are these: a new one is a decision.
func TestWhatIsPublic(t *testing.T) {
	var got []string
	for _, r := range everything(io.Discard).routes() {
		if r.access == public {
			got = append(got, r.pattern)
		}
	}
	want := []string{"GET /ssl/ca-certs.pem", "GET /ssl/opsi-ca-cert.pem", "/session/logout", "GET /healthz",
		"POST /v1/join", "POST /v1/renew", "POST /v1/gen_certif", "GET /v1/crl", "GET /feed/", "/"}
	if !slices.Equal(got, want) {
		t.Errorf("public: %q", got)
	}
}

func TestRouteWithoutAccessDoesNotStart(t *testing.T) {
	for _, a := range []access{"", "everyone"} {
		if a.allows(methods.Administrator) {
			t.Errorf("%q allows", a)
		}
		if _, err := (&Server{}).handler([]route{{pattern: "/x", access: a, handler: echo}}); err == nil {
			t.Errorf("%q starts", a)
		}
	}
}

func TestPartsThatAreNotThere(t *testing.T) {
	s := everything(io.Discard)
	s.Parts.Chunks, s.Parts.WebDAV = nil, nil
	for _, path := range []string{"/v1/nothing", "/v1/depot/x/tree", "/depot/x", "/nothing"} {
		w := ask(t, s, "POST", path, "administrator", nil)
		var v map[string]map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 404 || v["error"]["code"] != "not-found" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAnswers(t *testing.T) {
	var log bytes.Buffer
	s := everything(&log)
	w := ask(t, s, "POST", "/rpc?secret-in-query", "host", strings.NewReader("12345"))
	if !strings.Contains(w.Body.String(), `"bytes":5`) || !strings.Contains(w.Body.String(), w.Header().Get("X-Request-Id")) {
		t.Errorf("%s %v", w.Body, w.Header())
	}
	if got := w.Header().Get("Server"); got != "opsiconfd 4.3.24 (fernwerk 1.2.3)" {
		t.Errorf("Server: %s", got)
	}
	if w := ask(t, s, "POST", "/v1/depot/x/chunks", "slow", nil); w.Code != 503 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := ask(t, s, "POST", "/v1/depot/x/chunks", "broken", nil); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(t, s, "PROPFIND", "/depot/x", "host", strings.NewReader(strings.Repeat("x", maxFind+1))); w.Code != 413 {
		t.Errorf("a PROPFIND that is too large: %d", w.Code)
	}
	if w := ask(t, s, "POST", "/v1/depot/x/chunks", "host", strings.NewReader(strings.Repeat("x", maxChunks+1))); w.Code != 413 {
		t.Errorf("a body that is too large: %d", w.Code)
	}
	if w := ask(t, s, "PUT", "/v1/packages/x.opsi", "administrator", strings.NewReader(strings.Repeat("x", maxChunks+1))); w.Code != 200 {
		t.Errorf("a package: %d", w.Code)
	}
	s.Parts.Health = func(context.Context) (any, error) { return []string{"database"}, errors.New("disk") }
	if w := ask(t, s, "GET", "/healthz", "", nil); w.Code != 503 || strings.Contains(w.Body.String(), "disk") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(log.String(), "secret-in-query") || strings.Contains(log.String(), "Basic") {
		t.Errorf("log: %s", log.String())
	}
}

func TestForeignPagesAreRefused(t *testing.T) {
	h, err := everything(io.Discard).Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("PUT", "https://server/v1/packages/x.opsi", nil)
	r.SetBasicAuth("administrator", "x")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := everything(&log)
	s.Parts.Chunks = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") })
	w := ask(t, s, "POST", "/v1/depot/x/chunks", "host", nil)
	if w.Code != 500 || !strings.Contains(log.String(), "oh") || strings.Contains(w.Body.String(), "oh") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// With half an answer out, the connection breaks: nobody takes it for whole.
	s.Parts.Chunks = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("half")); panic("oh") })
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("panic %v", p)
		}
	}()
	ask(t, s, "POST", "/v1/depot/x/chunks", "host", nil)
}

// deadlines notes what a writer is given.
type deadlines struct {
	*httptest.ResponseRecorder
	set  int
	most int
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.set++; return nil }
func (d *deadlines) Write(p []byte) (int, error) {
	d.most = max(d.most, len(p))
	return d.ResponseRecorder.Write(p)
}

func TestWriterGivesEachPieceItsTime(t *testing.T) {
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	w := &writer{ResponseWriter: d, control: http.NewResponseController(d)}
	data := bytes.Repeat([]byte("x"), 5*pieceSize+7)
	n, err := w.Write(data)
	if n != len(data) || err != nil || d.Body.Len() != len(data) || d.most > pieceSize || d.set != 1 || w.bytes != int64(n) {
		t.Errorf("%d bytes, %v, pieces up to %d, %d deadlines", n, err, d.most, d.set)
	}
	w.renewed = w.renewed.Add(-renewEvery - time.Second)
	if w.Write(nil); d.set != 2 {
		t.Errorf("%d deadlines", d.set)
	}
}

// A request under way is finished when the server stops.
func TestStopFinishesRequests(t *testing.T) {
	inside, release := make(chan bool), make(chan bool)
	s := everything(io.Discard)
	s.Parts.Health = func(context.Context) (any, error) { inside <- true; <-release; return nil, nil }
	cert := httptest.NewTLSServer(nil)
	defer cert.Close()
	s.TLS = cert.TLS
	var err error
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	status := make(chan int)
	go func() {
		resp, err := cert.Client().Get("https://" + s.Listener.Addr().String() + "/healthz")
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		defer resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-inside
	cancel()
	for { // the port closes first
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			break
		}
		conn.Close() // a stop waits five seconds for one that says nothing
	}
	close(release)
	if got := <-status; got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
