package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Through the socket the kernel's word counts, and nothing else does.
func TestLocal_WhoIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		peer   peer
		user   string
		status int
		role   string
	}{
		"root":                     {peer{0, nil}, "", http.StatusOK, "administrator"},
		"who the server runs as":   {peer{os.Geteuid(), nil}, "", http.StatusOK, "administrator"},
		"root, as somebody":        {peer{0, nil}, "reader", http.StatusOK, "reader"},
		"another user":             {peer{os.Geteuid() + 12345, nil}, "", http.StatusForbidden, ""},
		"another user, as himself": {peer{os.Geteuid() + 12345, nil}, "administrator", http.StatusForbidden, ""},
		"nobody knows":             {peer{-1, errors.New("no")}, "", http.StatusForbidden, ""},
		"nobody knows, it says 0":  {peer{0, errors.New("no")}, "", http.StatusForbidden, ""},
	} {
		var log bytes.Buffer
		h, err := everything(&log).Handler()
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "http://localhost/v1/packages", nil)
		r = r.WithContext(context.WithValue(r.Context(), localKey{}, c.peer))
		if c.user != "" {
			r.SetBasicAuth(c.user, "x")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.role != "" && !strings.Contains(w.Body.String(), `"role":"`+c.role+`"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestListenLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenLocal(path); err == nil {
		t.Fatal("a file of somebody was replaced")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	left.Close()
	l, err := ListenLocal(path)
	if err != nil {
		t.Fatalf("a socket that was left over: %v", err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := ListenLocal(filepath.Join(t.TempDir(), strings.Repeat("x", 200))); err == nil {
		t.Error("a path that no socket can have")
	}
}
