package catalog_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// desk is the whole dispatcher over a store with a few rows.
type desk struct {
	*rpc.Handler
	log   bytes.Buffer
	actor methods.Actor
}

func newDesk(t testing.TB) *desk {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "desk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, catalog.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	svc := catalog.New(s, methods.Ports{})
	d := &desk{actor: methods.Actor{Role: methods.Host, ID: "evil.example.org"}}
	d.Handler = &rpc.Handler{Backend: svc, Log: slog.New(slog.NewTextHandler(&d.log, nil)), Limits: rpc.Limits{Body: 1 << 20, Memory: 64 << 20},
		Scratch: t.TempDir(), Authenticate: func(*http.Request) (methods.Actor, error) { return d.actor, nil }}
	for _, id := range []string{"evil.example.org", "victim.example.org"} {
		_, err := svc.Call(t.Context(), methods.Actor{Role: methods.Administrator, ID: "admin"}, "host_createObjects",
			methods.Pos([]any{map[string]any{"type": fleet.OpsiClient, "id": id, "notes": "of " + id}}))
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *desk) send(method, media, encoding string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/rpc", bytes.NewReader(body))
	r.Header.Set("Content-Type", media)
	r.Header.Set("Content-Encoding", encoding)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// FuzzDispatch sends bytes to the dispatcher as a hostile host that is enrolled:
// the answer is well-formed, nothing panics, nobody's secret comes out, and what
// is hidden does not become visible.
func FuzzDispatch(f *testing.F) {
	for _, body := range []string{
		`{"id":1,"method":"host_getObjects","params":[["notes"],{"id":"*"}]}`,
		`{"id":1,"method":"host_getObjects","params":[[],{"notes":"of v*"}]}`,
		`{"jsonrpc":"2.0","id":"x","method":"configState_getValues","params":{"object_ids":["victim.example.org"]}}`,
		`[{"id":1,"method":"productOnClient_updateObjects","params":[[{"productId":"a","productType":"LocalbootProduct","clientId":"evil.example.org","actionRequest":"setup"}]]},{"id":2,"method":"productOnClient_getIdents","params":["dict"]}]`,
		`{"id":1,"method":"host_updateObject","params":[{"type":"OpsiClient","id":"victim.example.org","notes":"x"}]}`,
		`{"id":1,"method":"productOnClient_generateSequence","params":[[{"productId":"a","clientId":"evil.example.org","actionRequest":"setup"}]]}`,
		`{"id":1,"method":"getProductActionRequests","params":[{"a":[[[]]]}]}`, `{"id":1,"method":"auditHardware_getObjects","params":[[],{"hardwareClass":{"a":1}}]}`,
		`{"id":9223372036854775808,"method":"x"}`, `{"id":1e999}`, `[[[[[[`, `[]`, `{}`, `""`, `null`,
	} {
		f.Add(false, []byte(body))
		if v, err := wire.JSON.Unmarshal([]byte(body), 1<<20, nil); err == nil {
			data, err := wire.Msgpack.Marshal(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(true, data)
		}
	}
	d := newDesk(f)
	f.Fuzz(func(t *testing.T, packed bool, body []byte) {
		d.log.Reset()
		codec := wire.JSON
		if packed {
			codec = wire.Msgpack
		}
		w := d.send(http.MethodPost, codec.MediaType, "", body)
		v, err := codec.Unmarshal(w.Body.Bytes(), 64<<20, nil)
		if err != nil {
			t.Fatalf("%q is answered %d %q: %v", body, w.Code, w.Body, err)
		}
		if strings.Contains(d.log.String(), "panicked") {
			t.Fatalf("%q: %s", body, d.log.String())
		}
		if text, _ := json.Marshal(v); strings.Contains(string(text), "of victim") {
			t.Errorf("%q shows what is another host's: %s", body, text)
		}
	})
}

// What is made to hurt is refused before it costs memory.
func TestDispatch_RefusesWhatIsMadeToHurt(t *testing.T) {
	d := newDesk(t)
	call := func(params string) string { return `{"id":1,"method":"host_getObjects","params":` + params + `}` }
	bomb := func(encoding string) []byte {
		data, err := wire.Pack(make([]byte, 256<<20), encoding)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, tt := range map[string]struct {
		encoding string
		body     []byte
		status   int
	}{
		"deep nesting":      {"", []byte(call(strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000))), 400},
		"a key twice":       {"", []byte(`{"id":1,"method":"host_getObjects","method":"host_delete","params":[]}`), 400},
		"a huge number":     {"", []byte(call("[" + strings.Repeat("9", 100_000) + "]")), 400},
		"a huge exponent":   {"", []byte(call("[1e99999999]")), 400},
		"very many values":  {"", []byte(call("[" + strings.Repeat("0,", 400_000) + "0]")), 400},
		"very many calls":   {"", []byte("[" + strings.Repeat("{},", 2000) + "{}]"), 413},
		"a body too large":  {"", bytes.Repeat([]byte(" "), 2<<20), 413},
		"a bomb of gzip":    {"gzip", bomb("gzip"), 413},
		"a bomb of deflate": {"deflate", bomb("deflate"), 413},
		"a bomb of zstd":    {"zstd", bomb("zstd"), 413},
		"a bomb of lz4":     {"lz4", bomb("lz4"), 413},
		"no such packing":   {"br", []byte(call("[]")), 400},
		"trailing data":     {"", []byte(call("[]") + "{}"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := d.send(http.MethodPost, "application/json", tt.encoding, tt.body)
			runtime.ReadMemStats(&after)
			if w.Code != tt.status {
				t.Errorf("%d %.300s", w.Code, w.Body)
			}
			if cost := after.TotalAlloc - before.TotalAlloc; cost > 64<<20 {
				t.Errorf("it cost %d MiB", cost>>20)
			}
		})
	}
}
