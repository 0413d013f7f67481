package depot

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// PackagesHandler is package packages, which stands above this one.
var PackagesHandler func(*Depot) http.Handler

// serve mounts the handlers as the server does.
func serve(t *testing.T, p *place) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/depot/", p.WebDAV())
	mux.Handle("/v1/depot/", p.Chunks())
	mux.Handle("/v1/packages", PackagesHandler(p.Depot))
	mux.Handle("/v1/packages/", PackagesHandler(p.Depot))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, s *httptest.Server, method, path string, body []byte, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func TestPackages(t *testing.T) {
	p := newPlace(t)
	s := serve(t, p)
	if a := ask(t, s, "GET", "/v1/packages", nil); a.status != 200 || a.body != "[]\n" {
		t.Errorf("empty list: %+v", a)
	}
	a := ask(t, s, "PUT", "/v1/packages/editor_1.0-1.opsi", editor("1.0-1", nil).build(t))
	var r Report
	if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.status != 200 || r.Product != "editor" || r.Files != 4 || !strings.Contains(a.body, `"differences":[]`) {
		t.Fatalf("%+v", a)
	}
	a = ask(t, s, "GET", "/v1/packages", nil)
	var list []Listed
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		t.Fatal(err)
	}
	want := []Listed{{"editor", "LocalbootProduct", "Editor", "1.0", "1", false, 4, r.Bytes, r.ManifestDigest}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
	if a := ask(t, s, "GET", "/v1/depot/editor/tree", nil); a.status != 200 || a.header.Get("ETag") != `"`+r.ManifestDigest+`"` {
		t.Errorf("tree: %d %v", a.status, a.header)
	}
	for _, bad := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"PUT", "/v1/packages/editor_1.0-1.opsi", "junk", 400, "invalid"},
		{"PUT", "/v1/packages/editor_1.0-1.opsi?force=maybe", "", 400, "invalid"},
		{"PUT", "/v1/packages/editor_1.0-1.opsi?properties=ask", "", 400, "invalid"},
		{"DELETE", "/v1/packages/nothing", "", 404, "not-found"},
		{"DELETE", "/v1/packages/..%2fx", "", 400, "invalid"},
		{"POST", "/v1/packages", "", 405, ""},
	} {
		a := ask(t, s, bad.method, bad.path, []byte(bad.body))
		var e struct {
			Error struct{ Code, Message, Hint string }
		}
		_ = json.Unmarshal([]byte(a.body), &e)
		if a.status != bad.status || e.Error.Code != bad.code {
			t.Errorf("%s %s: %+v", bad.method, bad.path, a)
		}
	}
	if a := ask(t, s, "DELETE", "/v1/packages/editor", nil); a.status != 200 || a.body != `{"product":"editor","productVersion":"1.0","packageVersion":"1"}`+"\n" {
		t.Errorf("%+v", a)
	}
	if a := ask(t, s, "GET", "/v1/depot/editor/tree", nil); a.status != 404 {
		t.Errorf("tree of a removed product: %+v", a)
	}
}

func TestWebDAV_Get(t *testing.T) {
	p := newPlace(t)
	p.install(t, "1.0-1", pkg{"CLIENT_DATA/x.gz": "not really gzip"})
	s := serve(t, p)
	data := strings.Repeat("data of 1.0-1\n", 5000)
	sum := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(data)))
	a := ask(t, s, "GET", "/depot/editor/bin/data", nil, "Accept-Encoding", "gzip")
	if a.status != 200 || a.body != data || a.header.Get("ETag") != sum || a.header.Get("Content-Encoding") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := ask(t, s, "GET", "/depot/editor/x.gz", nil, "Accept-Encoding", "gzip"); a.body != "not really gzip" || a.header.Get("Content-Encoding") != "" {
		t.Errorf("gzip: %+v", a)
	}
	if a := ask(t, s, "GET", "/depot/editor/doc/link", nil); a.body != data {
		t.Errorf("link: %d", a.status)
	}
	if a := ask(t, s, "GET", "/depot/editor/doc/read%20me.md", nil); a.body != "the same in all versions\n" {
		t.Errorf("blank in a name: %+v", a)
	}
	if a := ask(t, s, "HEAD", "/depot/editor/bin/data", nil); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != fmt.Sprint(len(data)) {
		t.Errorf("HEAD: %+v", a)
	}
	if a := ask(t, s, "GET", "/depot/editor/bin/data", nil, "Range", "bytes=10-19", "If-Range", sum); a.status != 206 || a.body != data[10:20] {
		t.Errorf("range: %+v", a)
	}
	if a := ask(t, s, "GET", "/depot/editor/bin/data", nil, "Range", "bytes=10-19", "If-Range", `"other"`); a.status != 200 || len(a.body) != len(data) {
		t.Errorf("range of another version: %d, %d bytes", a.status, len(a.body))
	}
	if a := ask(t, s, "GET", "/depot/editor/bin/data", nil, "If-None-Match", sum); a.status != 304 {
		t.Errorf("If-None-Match: %d", a.status)
	}
	// A file that was written afterwards has no tag that a hash would vouch for.
	if err := os.WriteFile(p.path("editor", "bin", "data"), []byte(strings.ToUpper(data)), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, s, "GET", "/depot/editor/bin/data", nil); a.header.Get("ETag") == sum || a.header.Get("ETag") == "" {
		t.Errorf("tag of a changed file: %v", a.header)
	}
}
