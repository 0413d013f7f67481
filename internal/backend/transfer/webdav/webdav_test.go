package webdav

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestOpen(t *testing.T) {
	const content = "0123456789"
	var asked []string
	ranges := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+r.Header.Get("Range")))
		if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("X-Who") != "me" {
			t.Errorf("header %v", r.Header)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "busy"):
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		case !ranges:
			io.WriteString(w, content)
		default:
			w.Header().Set("Content-Encoding", "gzip") // and it is not
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		}
	}))
	defer s.Close()
	f := &Folder{Client: s.Client(), Base: s.URL + "/depot/", Product: "editor", Prepare: func(r *http.Request) error { r.Header.Set("X-Who", "me"); return nil }}
	for _, test := range []struct {
		name                 string
		offset, length, size int64
		want                 string
		code                 fleet.Code
		asked                string
	}{
		{"file", 0, 10, 10, content, "", "GET /depot/editor/file"},
		{"file", 0, -1, -1, content, "", "GET /depot/editor/file"},
		{"file", 3, 4, 10, "3456", "", "GET /depot/editor/file bytes=3-6"},
		{"file", 3, -1, 10, "3456789", "", "GET /depot/editor/file bytes=3-"},
		{"file", 0, 4, 10, "0123", "", "GET /depot/editor/file bytes=0-3"},
		{"a b/50% #?&+;ä'", 0, 10, 10, content, "", "GET /depot/editor/a%20b/50%25%20%23%3F&+%3B%C3%A4%27"},
		{"file", 0, 9, 9, "", fleet.Conflict, "GET /depot/editor/file"},
		{"file", 3, 4, 11, "", fleet.Conflict, "GET /depot/editor/file bytes=3-6"},
		{"file", 20, 4, 30, "", fleet.Conflict, "GET /depot/editor/file bytes=20-23"},
		{"busy", 0, 10, 10, "", fleet.Unavailable, "GET /depot/editor/busy"},
	} {
		t.Run(fmt.Sprint(test.asked, test.size), func(t *testing.T) {
			asked = nil
			body, err := f.Open(t.Context(), test.name, test.offset, test.length, test.size)
			var got []byte
			if err == nil {
				got, err = io.ReadAll(body)
				body.Close()
			}
			if string(got) != test.want || fleet.CodeOf(err) != test.code || strings.ReplaceAll(strings.Join(asked, "|"), "'", "%27") != test.asked {
				t.Errorf("%q, %v, asked %q", got, err, asked)
			}
		})
	}
	ranges = false
	if _, err := f.Open(t.Context(), "file", 3, 4, 10); fleet.CodeOf(err) != fleet.NotHere {
		t.Errorf("without ranges: %v", err)
	}
	s.Close()
	if _, err := f.Open(t.Context(), "file", 0, 10, 10); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("with nobody there: %v", err)
	}
	if f.String() != "webdav "+strings.TrimPrefix(s.URL, "http://") {
		t.Error(f.String())
	}
	f.Prepare = func(*http.Request) error { return errors.New("no identity") }
	if _, err := f.Open(t.Context(), "file", 0, 10, 10); err == nil || err.Error() != "no identity" {
		t.Error(err)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes 9-5/10", "bytes */10", "bytes 0-10/10", "bytes +1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		first, whole, err := contentRange(header)
		if err == nil && (first < 0 || whole < -1 || whole >= 0 && first >= whole) {
			t.Errorf("%q: %d, %d", header, first, whole)
		}
	})
}
