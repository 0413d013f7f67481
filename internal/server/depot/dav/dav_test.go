package dav_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/server/depot/dav"
)

// folder is a depot's folder with one product.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "depot")
	err := os.CopyFS(dir, fstest.MapFS{
		"editor/setup.fern":      {Data: []byte("install")},
		"editor/bin/data":        {Data: []byte("data")},
		"editor/bin/run.sh":      {Data: []byte("#!/bin/sh"), Mode: 0o755},
		"editor/doc/read me.md":  {Data: []byte("read")},
		"editor/doc/link":        {Data: []byte("../bin/data"), Mode: fs.ModeSymlink | 0o777},
		"editor/doc/leads to no": {Data: []byte("nothing"), Mode: fs.ModeSymlink | 0o777},
		".staging/x":             {Data: []byte("x")},
		".lock":                  {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func serve(t *testing.T, dir string) *httptest.Server {
	s := httptest.NewServer(dav.Handler(dir, func(string, fs.FileInfo) string { return "" }))
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

func TestReadOnlyAndConfined(t *testing.T) {
	dir := folder(t)
	outside := t.TempDir() + "/secret"
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "editor", "evil")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".staging", "half"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir)
	for _, method := range []string{"PUT", "POST", "DELETE", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "PROPPATCH", "PATCH"} {
		a := ask(t, s, method, "/depot/editor/setup.fern", []byte("x"), "Destination", s.URL+"/depot/editor/b", "Depth", "0")
		if a.status != 405 || a.header.Get("Allow") != "GET, HEAD, OPTIONS, PROPFIND" {
			t.Errorf("%s: %+v", method, a)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "editor", "setup.fern")); err != nil || string(text) != "install" {
		t.Errorf("a request changed a file: %q, %v", text, err)
	}
	for _, path := range []string{"/depot/.staging/half", "/depot/.staging", "/depot/.lock", "/depot/editor/evil", "/depot/editor/%2e%2e/.staging/half",
		"/depot/editor/..%2f..%2f..%2fetc%2fpasswd", "/depot/editor%5c..%5c.staging", "/depot/nothing", "/depot/editor/a%00b"} {
		for _, method := range []string{"GET", "HEAD", "PROPFIND"} {
			if a := ask(t, s, method, path, nil, "Depth", "1"); a.status < 400 && a.status != 301 && a.status != 307 {
				t.Errorf("%s %s: %+v", method, path, a)
			}
		}
	}
	if a := ask(t, s, "OPTIONS", "/depot/editor/", nil); a.status != 200 || a.header.Get("DAV") != "1" || a.header.Get("Allow") != "GET, HEAD, OPTIONS, PROPFIND" {
		t.Errorf("OPTIONS: %+v", a)
	}
}

func TestPropfind(t *testing.T) {
	s := serve(t, folder(t))
	hrefs := func(a answer) []string {
		var out []string
		for _, m := range regexp.MustCompile(`<D:href>([^<]*)</D:href>`).FindAllStringSubmatch(a.body, -1) {
			out = append(out, m[1])
		}
		return out
	}
	for _, test := range []struct {
		path, depth string
		want        []string
	}{
		{"/depot/", "1", []string{"/depot/", "/depot/editor/"}},
		{"/depot/editor", "0", []string{"/depot/editor/"}},
		{"/depot/editor/bin/", "1", []string{"/depot/editor/bin/", "/depot/editor/bin/data", "/depot/editor/bin/run.sh"}},
		{"/depot/editor/doc/", "1", []string{"/depot/editor/doc/", "/depot/editor/doc/link", "/depot/editor/doc/read%20me.md"}},
	} {
		a := ask(t, s, "PROPFIND", test.path, nil, "Depth", test.depth)
		if got := hrefs(a); a.status != 207 || !cmp.Equal(test.want, got, cmp.Transformer("set", set)) {
			t.Errorf("%s: %d %q", test.path, a.status, got)
		}
	}
	for _, depth := range []string{"infinity", "", "2"} {
		a := ask(t, s, "PROPFIND", "/depot/editor", nil, "Depth", depth)
		if a.status != 403 || !strings.Contains(a.body, "propfind-finite-depth") {
			t.Errorf("Depth %q: %+v", depth, a)
		}
	}
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		m[s] = true
	}
	return m
}
