package feed_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	served "github.com/fernwerk/fernwerk/internal/server/feed"
)

// Everybody may ask, and many may ask at once and read slowly: there is one copy
// of the script, and it is verified once.
func TestStrangersShareOneCopy(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, served.Class)
	if err != nil {
		t.Fatal(err)
	}
	key, err := feed.NewKey("idhal", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public().Print()
	if err != nil {
		t.Fatal(err)
	}
	script := func(serial int64) string {
		t.Helper()
		text, err := feed.Script{Header: feed.Header{Site: "idhal", Serial: serial, Expires: time.Now().AddDate(0, 1, 0)},
			Updates: []feed.Update{{ID: "001", Title: "much", Program: strings.Repeat("echo much\n", 50_000)}}}.Render()
		if err != nil {
			t.Fatal(err)
		}
		file, err := key.Sign(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return string(file)
	}
	f := &served.Feed{Store: st, Log: slog.New(slog.DiscardHandler)}
	handler := f.Handler()
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	publish := func(serial int64) {
		t.Helper()
		if _, err := f.Publish(t.Context(), store.Origin{Actor: "test"}, string(public), script(serial), false); err != nil {
			t.Fatal(err)
		}
	}
	publish(17)
	if got := ask("/feed/serial").Body.String(); got != "17\n" {
		t.Fatalf("serial %q", got)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const many = 100
	for range many {
		ask("/feed/serial")
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / many; each > 64<<10 {
		t.Errorf("a question of a stranger takes %d bytes of memory", each)
	}
	publish(18) // counts at once
	if got := ask("/feed/serial").Body.String(); got != "18\n" {
		t.Errorf("serial %q", got)
	}
}
