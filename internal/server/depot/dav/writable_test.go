package dav_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/server/depot/dav"
)

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(filepath.Dir(dir), "outside")
	for path, text := range map[string]string{filepath.Join(dir, ".upload-LEFT"): "half", outside: "secret"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"out": outside, "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	h, err := dav.Writable("/repository", dir)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	defer s.Close()
	do := func(method, path, body string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data)
	}
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/repository/a_1.0-1.opsi", "one", 201},
		{"PUT", "/repository/a_1.0-1.opsi", "two", 204},
		{"GET", "/repository/a_1.0-1.opsi", "", 200},
		{"MKCOL", "/repository/old", "", 201},
		{"MKCOL", "/repository/old", "", 405},
		{"MKCOL", "/repository/none/below", "", 409},
		{"MKCOL", "/repository/body", "body", 415},
		{"PUT", "/repository/old/Ärger%20%23.opsi", "odd", 201},
		{"PUT", "/repository/none/x", "x", 409},
		{"PUT", "/repository/old", "x", 405},
		{"PUT", "/repository/", "x", 403},
		{"PUT", "/repository/.upload-x", "x", 403},
		{"PUT", "/repository/old/.hidden", "x", 403},
		{"PUT", "/repository/a%5cb", "x", 403},
		{"PUT", "/repository/../../outside", "x", 403},
		{"PUT", "/repository/%2e%2e/%2e%2e/outside", "x", 403},
		{"PUT", "/repository/out", "x", 405},        // a link, not a file
		{"PUT", "/repository/up/outside", "x", 409}, // os.Root does not follow it out
		{"GET", "/repository/out", "", 404},
		{"DELETE", "/repository/", "", 403},
		{"DELETE", "/repository/none", "", 404},
		{"DELETE", "/repository/up/outside", "", 403},
		{"DELETE", "/repository/old", "", 204},
		{"MOVE", "/repository/a_1.0-1.opsi", "", 405},
		{"LOCK", "/repository/a_1.0-1.opsi", "", 405},
	} {
		if status, text := do(test.method, test.path, test.body, "Depth", "1"); status != test.status {
			t.Errorf("%s %s: %d, want %d: %s", test.method, test.path, status, test.status, text)
		}
	}
	if status, text := do("GET", "/repository/a_1.0-1.opsi", ""); status != 200 || text != "two" {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := do("PUT", "/repository/part", "x", "Content-Range", "bytes 1-2/3"); status != 400 {
		t.Errorf("a part of a file: %d", status)
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "secret" {
		t.Errorf("outside: %s, %v", data, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 { // the package and the two links
		t.Errorf("left: %v, %v", left, err)
	}
}

// An upload that breaks off leaves what was there.
func TestWritable_BrokenUpload(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.opsi"), []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := dav.Writable("/repository", dir)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("PUT", "/repository/x.opsi", io.MultiReader(strings.NewReader("aft"), broken{}))
	r.ContentLength = 100
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	left, err := os.ReadDir(dir)
	if data, _ := os.ReadFile(filepath.Join(dir, "x.opsi")); string(data) != "before" || len(left) != 1 {
		t.Errorf("%s; left: %v, %v", data, left, err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
