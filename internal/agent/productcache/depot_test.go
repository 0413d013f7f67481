package productcache

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/folder"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/webdav"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

// tree is a product's content by path; every file is one chunk.
type tree map[string]string

func (tr tree) index(t *testing.T) *chunkindex.Index {
	t.Helper()
	var list []manifest.Entry
	folders := map[string]bool{}
	for path, content := range tr {
		for dir := filepath.Dir(path); dir != "." && !folders[dir]; dir = filepath.Dir(dir) {
			folders[dir] = true
			list = append(list, manifest.Entry{Path: dir, Type: manifest.Dir})
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			list = append(list, manifest.Entry{Path: path, Type: manifest.Link, Target: target})
			continue
		}
		list = append(list, manifest.Entry{Path: path, Type: manifest.File, Size: int64(len(content)), Sum: sha256.Sum256([]byte(content))})
	}
	m, err := manifest.New(list)
	if err != nil {
		t.Fatal(err)
	}
	x, err := chunkindex.New(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// depot serves trees over the depot's own protocol.
type depot struct {
	*httptest.Server
	t       *testing.T
	trees   map[string]tree
	fetched int                                           // bytes of content
	plain   bool                                          // it has no trees, but files
	before  func(w http.ResponseWriter, path string) bool // true: it has answered
}

func newDepot(t *testing.T) *depot {
	d := &depot{t: t, trees: map[string]tree{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/depot/{product}/tree", d.tree)
	mux.HandleFunc("POST /v1/depot/{product}/chunks", d.chunks)
	mux.HandleFunc("GET /depot/{product}/{path...}", d.file)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.before == nil || !d.before(w, r.URL.Path) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

// file serves a product's file or its list.
func (d *depot) file(w http.ResponseWriter, r *http.Request) {
	tr := d.trees[r.PathValue("product")]
	text, ok := tr[r.PathValue("path")]
	if r.PathValue("path") == r.PathValue("product")+".files" {
		var b strings.Builder
		if err := manifest.WriteFiles(&b, tr.list(d.t)); err != nil {
			d.t.Error(err)
		}
		text, ok = b.String(), true
	} else {
		d.fetched += len(text)
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}

func (tr tree) list(t *testing.T) []manifest.FilesLine {
	sums := map[string][md5.Size]byte{}
	for path, text := range tr {
		sums[path] = md5.Sum([]byte(text))
	}
	list, err := tr.index(t).Tree.FilesLines(sums)
	if err != nil {
		t.Error(err)
	}
	return list
}

func (d *depot) tree(w http.ResponseWriter, r *http.Request) {
	tr, ok := d.trees[r.PathValue("product")]
	if !ok || d.plain {
		http.NotFound(w, r)
		return
	}
	x := tr.index(d.t)
	if r.Header.Get("If-None-Match") == `"`+hex.EncodeToString(x.Digest[:])+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Encoding", "zstd")
	z, _ := zstd.NewWriter(w)
	z.Write(x.Text())
	z.Close()
}

func (d *depot) chunks(w http.ResponseWriter, r *http.Request) {
	tr := d.trees[r.PathValue("product")]
	x := tr.index(d.t)
	q, err := chunkindex.ReadRequest(r.Body)
	if err != nil || q.Tree != x.Digest {
		http.Error(w, "the tree is another one", http.StatusConflict)
		return
	}
	content := map[[sha256.Size]byte]string{}
	for _, c := range tr {
		content[sha256.Sum256([]byte(c))] = c
	}
	z, _ := zstd.NewWriter(w)
	for n := range q.Want.All() {
		data := content[x.Chunks[n].Sum]
		d.fetched += len(data)
		z.Write([]byte(data))
	}
	z.Close()
}

func (d *depot) http(product string) *transfer.HTTP {
	return &transfer.HTTP{Client: d.Client(), Base: d.URL, Product: product}
}

// Tree implements [Depot].
func (d *depot) Tree(ctx context.Context, product string, have *chunkindex.Index, wire func(io.Reader) io.Reader) (*chunkindex.Index, error) {
	x, err := d.http(product).Tree(ctx, have, wire, chunkindex.Limits{})
	if d.plain && fleet.CodeOf(err) == fleet.NotFound {
		err = fleet.Errorf(fleet.NotHere, "%w", err)
	}
	return x, err
}

// Sources implements [Depot].
func (d *depot) Sources(product string, _ *chunkindex.Index, used func(string)) []transfer.Source {
	used("the test's depot")
	return []transfer.Source{d.http(product)}
}

// Folders implements [Depot].
func (d *depot) Folders(product string) []folder.Folder {
	return []folder.Folder{&webdav.Folder{Client: d.Client(), Base: d.URL + "/depot", Product: product}}
}

// site is a machine's cache and where it fetches from.
type site struct {
	*Cache
	t     *testing.T
	depot *depot
	dir   string
}

func newSite(t *testing.T, maxSize int64) *site {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(filepath.Join(dir, "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, Products)
	if err != nil {
		t.Fatal(err)
	}
	d := newDepot(t)
	c := New(Options{Dir: filepath.Join(dir, "cache"), MaxSize: maxSize, Limiter: throttle.New(throttle.Unlimited)}, s, slog.New(slog.DiscardHandler))
	if err := c.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &site{c, t, d, dir}
}

// Sync synchronises with the site's depot.
func (s *site) Sync(ctx context.Context, want fleet.ProductOnDepot, wanted []string) (Product, error) {
	return s.Cache.Sync(ctx, s.depot, want, wanted)
}

func onDepot(product, version string) fleet.ProductOnDepot {
	return fleet.ProductOnDepot{ProductID: fleet.ProductID(product), ProductVersion: version, PackageVersion: "1"}
}

// cached fetches a product and notes it, as the agent does.
func (s *site) cached(product, version string, tr tree, wanted ...string) {
	s.t.Helper()
	s.depot.trees[product] = tr
	p, err := s.Sync(s.t.Context(), onDepot(product, version), wanted)
	if err != nil {
		s.t.Fatal(err)
	}
	s.note(p)
}

func (s *site) note(p Product) {
	s.t.Helper()
	s.do(func(tx *store.Tx) error {
		p.Synced = tx.Stamp()
		return tx.Put(Products, Products.Encode(p))
	})
}

func (s *site) do(fn func(*store.Tx) error) {
	s.t.Helper()
	if err := s.store.Update(context.Background(), store.Origin{}, fn); err != nil {
		s.t.Fatal(err)
	}
}

// holds checks that a version is there, whole.
func (s *site) holds(product, version string, tr tree) {
	s.t.Helper()
	held, err := s.Verified(s.t.Context(), product, version, "1")
	if err != nil {
		s.t.Error(err)
		return
	}
	dir := held.Dir
	for path, want := range tr {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			s.t.Errorf("%s of %s is %q, error %v", path, product, got, err)
		}
	}
}

func (s *site) names(sub string) string {
	return strings.Join(entries(filepath.Join(s.Cache.dir, sub)), " ")
}
