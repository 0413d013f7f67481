package dav_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/server/depot/dav"
)

// Names are found in any case, the exact one first, and no two for one.
func TestHandler_AnyCase(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tool/Setup.Script": "setup", "tool/Sub/Größe.txt": "sub", "tool/both": "both", "tool/BOTH": "BOTH", ".hidden/x": "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../../etc", filepath.Join(dir, "tool", "Out")); err != nil {
		t.Fatal(err)
	}
	h := dav.Handler(dir, func(string, os.FileInfo) string { return "" })
	for name, want := range map[string]string{
		"tool/Setup.Script": "setup", "TOOL/setup.script": "setup", "tool/SUB/GRÖSSE.TXT": "", "tool/sub/GRÖßE.txt": "sub",
		"tool/both": "both", "tool/BOTH": "BOTH", "tool/Both": "", "tool/none": "", "tool/setup.script/x": "", ".HIDDEN/x": "", "tool/out/passwd": "", "tool/out/PASSWD": "",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = dav.Prefix + "/" + name
		h.ServeHTTP(w, r)
		if want == "" && w.Code != http.StatusNotFound || want != "" && w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", name, w.Code, w.Body, want)
		}
	}
}
