package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// served is what hosts ask for all the time, in memory: the newest documents.
type served struct {
	root      bool              // there is one
	pin       enrol.Root        // the newest
	files     map[string][]byte // by name, but for roots
	timestamp []byte
	etag      string
	expires   time.Time
	newest    map[string]int64 // numbers, by role
}

func (s *served) due(now time.Time) bool { return s.timestamp != nil && due(s.expires, now) }

// refresh reads what counts now.
func (t *Trust) refresh(ctx context.Context) error {
	return t.Store.View(ctx, func(tx *store.Tx) error {
		s, err := load(tx)
		if err == nil {
			t.serve(s)
		}
		return err
	})
}

// serve gives out a state from now on, unless a newer one is given out already:
// several may be read at once.
func (t *Trust) serve(s *state) {
	now := &served{root: s.root != nil, files: map[string][]byte{}, newest: s.newest}
	if s.root != nil {
		sum := sha256.Sum256(s.root.Raw())
		now.pin = enrol.Root{Version: s.root.Version, SHA256: hex.EncodeToString(sum[:])}
	}
	if s.timestamp != nil {
		now.timestamp, now.expires = s.timestamp.Raw(), s.timestamp.Expires
		now.etag = etag(now.timestamp)
		now.files[trust.FileName(trust.RoleSnapshot, s.snapshot.Version)] = s.snapshot.Raw()
		now.files[trust.FileName(trust.RoleTargets, s.targets.Version)] = s.targets.Raw()
		if s.depot != nil {
			now.files[trust.FileName(trust.Depot, s.depot.Version)] = s.depot.Raw()
		}
	}
	t.change.Lock()
	defer t.change.Unlock()
	if was := t.served.Load(); now.pin.Version > was.pin.Version || now.newest[trust.RoleTimestamp] >= was.newest[trust.RoleTimestamp] {
		t.served.Store(now)
	}
}

func etag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

var (
	fileForm    = regexp.MustCompile(`^([1-9][0-9]{0,15})\.(root|targets|snapshot|depot)\.json$`)
	contentForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Handler answers
//
//	GET /v1/trust/timestamp.json      what is the newest; If-None-Match gets 304
//	GET /v1/trust/N.ROLE.json         document N of root, targets, snapshot, depot
//	GET /v1/trust/content/SHA256      what a target with content holds
//
// What has a number or a digest in its name never changes. Timestamp and newest
// documents are answered from memory.
func (t *Trust) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/trust/timestamp.json", func(w http.ResponseWriter, r *http.Request) {
		s := t.served.Load()
		if s.timestamp == nil {
			refuse(w, unpublished(s))
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", s.etag)
		if slices.Contains(r.Header.Values("If-None-Match"), s.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		send(w, "application/json", s.timestamp)
	})
	mux.HandleFunc("GET /v1/trust/{name}", func(w http.ResponseWriter, r *http.Request) {
		data, err := t.file(r.Context(), r.PathValue("name"))
		t.forever(w, r, "application/json", data, err)
	})
	mux.HandleFunc("GET /v1/trust/content/{sum}", func(w http.ResponseWriter, r *http.Request) {
		data, err := t.content(r.Context(), r.PathValue("sum"))
		t.forever(w, r, "application/octet-stream", data, err)
	})
	mux.HandleFunc("GET /v1/trust/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, fleet.Errorf(fleet.NotFound, "cannot find %.200s", r.URL.Path))
	})
	return mux
}

// unpublished is why there is no timestamp.
func unpublished(s *served) error {
	if !s.root {
		return noRoot()
	}
	return fleet.WithHint(fleet.Errorf(fleet.NotFound, "this server has a trust root, and no signed list yet"), "run: fernwerk trust publish DIR")
}

// file finds a document by its name.
func (t *Trust) file(ctx context.Context, name string) (data []byte, err error) {
	s := t.served.Load()
	if data := s.files[name]; data != nil {
		return data, nil
	}
	if !s.root {
		return nil, noRoot()
	}
	parts := fileForm.FindStringSubmatch(name)
	if parts == nil {
		return nil, fleet.Errorf(fleet.NotFound, "cannot find %.100q: it is no document", name)
	}
	version, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return nil, err
	}
	err = t.Store.Look(ctx, func(tx *store.Tx) error {
		row, err := tx.ByKey(documents, documents.Key(documents.Encode(document{Role: parts[2], Version: version})))
		if err == nil && row == nil {
			err = fleet.Errorf(fleet.NotFound, "cannot find document %d of the role %s: it is not there yet, or not any more", version, parts[2])
		}
		if err == nil {
			data = []byte(row.Str("text"))
		}
		return err
	})
	return data, err
}

func (t *Trust) content(ctx context.Context, sum string) (data []byte, err error) {
	err = t.Store.Look(ctx, func(tx *store.Tx) (err error) { data, err = t.Content(tx, sum); return err })
	return data, err
}

// forever answers what never changes.
func (t *Trust) forever(w http.ResponseWriter, r *http.Request, media string, data []byte, err error) {
	if err != nil {
		if r.Context().Err() == nil && fleet.CodeOf(err) == fleet.Internal {
			t.Log.Error("Cannot answer for content trust", "path", r.URL.Path, "err", err)
		}
		refuse(w, err)
		return
	}
	tag := etag(data)
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	w.Header().Set("ETag", tag)
	if slices.Contains(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, media, data)
}

func send(w http.ResponseWriter, media string, data []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(data) // who is gone does not read the answer
}

// refuse answers an error as the rest of /v1 does.
func refuse(w http.ResponseWriter, err error) {
	status, text := http.StatusInternalServerError, "internal error"
	switch fleet.CodeOf(err) {
	case fleet.NotFound:
		status, text = http.StatusNotFound, err.Error()
	case fleet.Unavailable:
		status, text = http.StatusServiceUnavailable, err.Error()
		w.Header().Set("Retry-After", "30")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": string(fleet.CodeOf(err)), "message": text, "hint": fleet.HintOf(err)}})
}
