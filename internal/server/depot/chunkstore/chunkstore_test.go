package chunkstore_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	b64 "encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/server/depot/chunkstore"
)

// depot is one product, "editor", in a depot of a store.
type depot struct {
	dir, cache string
	digest     [sha256.Size]byte
	store      *chunkstore.Store
	log        *bytes.Buffer
}

func newDepot(t testing.TB) *depot {
	t.Helper()
	d := &depot{dir: t.TempDir(), cache: filepath.Join(t.TempDir(), "chunks"), log: new(bytes.Buffer)}
	d.restart(t)
	return d
}

// restart forgets what the store has in memory.
func (d *depot) restart(t testing.TB) {
	t.Helper()
	trees := func(_ context.Context, product string) (*os.Root, [sha256.Size]byte, error) {
		if product != "editor" {
			return nil, d.digest, fleet.Errorf(fleet.NotFound, "there is no product %q", product)
		}
		root, err := os.OpenRoot(d.dir)
		return root, d.digest, err
	}
	var err error
	if d.store, err = chunkstore.New(d.cache, trees, slog.New(slog.NewTextHandler(d.log, nil))); err != nil {
		t.Fatal(err)
	}
}

func (d *depot) write(t testing.TB, name string, content []byte) {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// add installs what is in the folder.
func (d *depot) add(t testing.TB) *chunkstore.Built {
	t.Helper()
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	b, err := d.store.Add(t.Context(), "editor", root)
	if err != nil {
		t.Fatal(err)
	}
	d.digest = b.Index.Digest
	return b
}

// compressAll runs Serve until every block is there.
func (d *depot) compressAll(t testing.TB, x *chunkindex.Index) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.store.Serve(ctx) }()
	for deadline := time.Now().Add(time.Minute); len(d.files(t, ".block")) < len(x.Blocks()); {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d blocks; log:\n%s", len(d.files(t, ".block")), len(x.Blocks()), d.log)
		}
		<-time.After(5 * time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (d *depot) files(t testing.TB, suffix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(d.cache, "*", "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (d *depot) do(req *http.Request) *http.Response {
	w := httptest.NewRecorder()
	d.store.Handler().ServeHTTP(w, req)
	return w.Result()
}

func (d *depot) chunks(body string) *http.Response {
	return d.do(httptest.NewRequest("POST", "/v1/depot/editor/chunks", strings.NewReader(body)))
}

func body(t testing.TB, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, packed []byte, options ...zstd.DOption) []byte {
	t.Helper()
	z, err := zstd.NewReader(nil, append(options, zstd.WithDecoderMaxWindow(chunkindex.MaxTextWindow))...)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := z.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// words is text of a size that compresses like text.
func words(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "line %d of the file: %s\n", r.IntN(1000), strings.Repeat("ab ", r.IntN(20)))
	}
	return b.Bytes()[:size]
}

func TestBuild(t *testing.T) {
	d := newDepot(t)
	big := words(1, 5<<20)
	d.write(t, "big", big)
	d.write(t, "copy/of/big", big)
	d.write(t, "empty", nil)
	d.write(t, "run.sh", []byte("#!/bin/sh\n"))
	d.write(t, "editor.files", []byte("f 'x' 1 00"))
	d.write(t, "sub/editor.files", []byte("this one is content"))
	for name, size := range map[string]int{"e1": chunkindex.MinChunk, "e2": chunkindex.MinChunk + 1, "e3": 1} {
		d.write(t, name, words(7, size))
	}
	if err := os.Chmod(filepath.Join(d.dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../run.sh", filepath.Join(d.dir, "copy/run")); err != nil {
		t.Fatal(err)
	}
	b := d.add(t)
	var got []string
	for _, e := range b.Index.Tree.Entries {
		got = append(got, fmt.Sprintf("%c %s %d %s", e.Type, e.Path, e.Size, e.Target))
	}
	want := []string{"f big 5242880 ", "d copy 0 ", "d copy/of 0 ", "f copy/of/big 5242880 ", "l copy/run 0 ../run.sh",
		"f e1 16384 ", "f e2 16385 ", "f e3 1 ", "f empty 0 ", "x run.sh 10 ", "d sub 0 ", "f sub/editor.files 19 "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e, _ := b.Index.Tree.Find("big"); e.Sum != sha256.Sum256(big) || b.MD5["copy/of/big"] != md5.Sum(big) {
		t.Error("wrong sums")
	}
	if n, whole := len(b.Index.Of(0)), len(b.Index.Chunks); n < 30 || n > 120 || whole > n+6 {
		t.Errorf("5 MiB of text are %d chunks, the tree has %d", n, whole)
	}
}

func TestBuild_RefusesWhatIsNotATree(t *testing.T) {
	for name, target := range map[string]string{"absolute": "/etc/passwd", "outside": "../x"} {
		d := newDepot(t)
		if err := os.Symlink(target, filepath.Join(d.dir, "l")); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chunkstore.Build(t.Context(), root, ""); err == nil {
			t.Errorf("%s: indexed", name)
		}
		root.Close()
	}
}

func TestTree(t *testing.T) {
	d := newDepot(t)
	for i := range 300 {
		d.write(t, fmt.Sprintf("f%03d", i), words(uint64(i), 3000))
	}
	d.write(t, "big", words(1, 3<<20))
	first := d.add(t).Index
	tag := `"` + hex.EncodeToString(first.Digest[:]) + `"`

	resp := d.do(httptest.NewRequest("GET", "/v1/depot/editor/tree", nil))
	packed := body(t, resp)
	if resp.StatusCode != 200 || resp.Header.Get("ETag") != tag || resp.Header.Get("Content-Encoding") != "zstd" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if !bytes.Equal(unpack(t, packed), first.Text()) {
		t.Error("another text")
	}
	req := httptest.NewRequest("GET", "/v1/depot/editor/tree", nil)
	req.Header.Set("If-None-Match", tag)
	if resp := d.do(req); resp.StatusCode != 304 || len(body(t, resp)) > 0 {
		t.Errorf("known tag: %d", resp.StatusCode)
	}

	d.write(t, "f100", []byte("changed"))
	second := d.add(t).Index
	oldText := first.Text()
	sum := sha256.Sum256(oldText)
	req = httptest.NewRequest("GET", "/v1/depot/editor/tree", nil)
	req.Header.Set("If-None-Match", tag)
	req.Header.Set("Accept-Encoding", "zstd, dcz")
	req.Header.Set("Available-Dictionary", ":"+base64(sum[:])+":")
	for range 2 { // made, then found
		resp = d.do(req)
		delta := body(t, resp)
		header := chunkindex.DeltaHeader(sum)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != "dcz" || !bytes.HasPrefix(delta, header) {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, d.log)
		}
		if !bytes.Equal(unpack(t, delta[len(header):], zstd.WithDecoderDictRaw(0, oldText)), second.Text()) {
			t.Error("another text")
		}
		if len(delta) > 400 {
			t.Errorf("the difference has %d bytes, the index %d", len(delta), len(packed))
		}
	}
	req.Header.Set("Available-Dictionary", ":"+base64(make([]byte, 32))+":")
	if resp := d.do(req); resp.Header.Get("Content-Encoding") != "zstd" {
		t.Error("a difference to an unknown index")
	}

	// The cache may be deleted while the server runs, and while it does not.
	for _, forget := range []func(){func() {}, func() { d.restart(t) }} {
		if err := os.RemoveAll(d.cache); err != nil {
			t.Fatal(err)
		}
		forget()
		resp := d.do(httptest.NewRequest("GET", "/v1/depot/editor/tree", nil))
		if !bytes.Equal(unpack(t, body(t, resp)), second.Text()) {
			t.Error("another text without the cache")
		}
	}
}

func TestChunks_OnTheFlyAndReady(t *testing.T) {
	d := newDepot(t)
	var all []byte
	for i := range 9 {
		content := words(uint64(i), 1<<20)
		d.write(t, fmt.Sprintf("f%02d", i), content)
		all = append(all, content...)
	}
	x := d.add(t).Index
	tree := hex.EncodeToString(x.Digest[:])
	last := len(x.Chunks) - 1
	whole := fmt.Sprintf("%s\n0-%d\n", tree, last)
	quick := body(t, d.chunks(whole))
	if !bytes.Equal(unpack(t, quick), all) {
		t.Fatal("wrong content on the fly")
	}
	d.compressAll(t, x)
	hard := body(t, d.chunks(whole))
	if !bytes.Equal(unpack(t, hard), all) {
		t.Fatal("wrong content from blocks")
	}
	var blocks int
	for _, name := range d.files(t, ".block") {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks += int(info.Size())
	}
	if len(hard) != blocks {
		t.Errorf("%d bytes sent, the blocks have %d", len(hard), blocks)
	}
	part := body(t, d.chunks(fmt.Sprintf("%s\n1-%d\n", tree, last)))
	if !bytes.Equal(unpack(t, part), all[x.Chunks[0].Size:]) {
		t.Fatal("wrong content of a part and blocks")
	}

	// A damaged block is sent, and not again to who doubts it.
	if err := os.WriteFile(d.files(t, ".block")[0], hard[:20], 0o644); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("POST", "/v1/depot/editor/chunks", strings.NewReader(whole))
	req.Header.Set("Cache-Control", "no-cache")
	if !bytes.Equal(unpack(t, body(t, d.do(req))), all) {
		t.Fatal("wrong content without the cache")
	}
}

func TestChunks_DriftIsAnErrorAndNeverWrongBytes(t *testing.T) {
	d := newDepot(t)
	for i := range 4 {
		d.write(t, fmt.Sprintf("f%d", i), words(uint64(i), 1<<20))
	}
	x := d.add(t).Index
	whole := fmt.Sprintf("%x\n0-%d\n", x.Digest, len(x.Chunks)-1)
	good := unpack(t, body(t, d.chunks(whole)))

	changed := words(3, 1<<20)
	changed[1000]++
	d.write(t, "f3", changed)
	resp := d.chunks(whole)
	got := unpack(t, body(t, resp))
	if why := resp.Trailer.Get(chunkindex.ErrorTrailer); !strings.HasPrefix(why, "conflict: ") || !strings.Contains(why, `"f3"`) {
		t.Errorf("trailer %q", why)
	}
	if !bytes.HasPrefix(good, got) || len(got) == len(good) || !strings.Contains(d.log.String(), "f3") {
		t.Errorf("%d bytes were sent; log:\n%s", len(got), d.log)
	}
	d.write(t, "f0", nil) // nothing to send before it: an ordinary answer
	if resp := d.chunks(whole); resp.StatusCode != http.StatusConflict {
		t.Errorf("status %d", resp.StatusCode)
	}
	d.restart(t)
	if err := os.RemoveAll(d.cache); err != nil {
		t.Fatal(err)
	}
	if resp := d.do(httptest.NewRequest("GET", "/v1/depot/editor/tree", nil)); resp.StatusCode != http.StatusConflict {
		t.Errorf("a tree of another digest: status %d", resp.StatusCode)
	}
}

func TestRequests_Refused(t *testing.T) {
	d := newDepot(t)
	d.write(t, "f", []byte("x"))
	x := d.add(t).Index
	tree := hex.EncodeToString(x.Digest[:])
	for name, tt := range map[string]struct {
		body string
		want int
	}{
		"other tree":    {strings.Repeat("0", 64) + "\n0\n", 409},
		"no such chunk": {tree + "\n1\n", 400},
		"no ranges":     {tree + "\n\n", 400},
		"empty":         {"", 400},
		"fine":          {tree + "\n0\n", 200},
	} {
		if resp := d.chunks(tt.body); resp.StatusCode != tt.want {
			t.Errorf("%s: status %d: %s", name, resp.StatusCode, body(t, resp))
		}
	}
	for _, product := range []string{"other", "..%2feditor", "%2e%2e", "a%5cb", "c:"} {
		if resp := d.do(httptest.NewRequest("GET", "/v1/depot/"+product+"/tree", nil)); resp.StatusCode != 404 {
			t.Errorf("%q: status %d", product, resp.StatusCode)
		}
	}
}

func TestServe_PrunesWhatNoTreeHas(t *testing.T) {
	d := newDepot(t)
	d.write(t, "a", bytes.Repeat(words(1, 1<<20), 3))
	d.write(t, "b", words(4, 6<<20))
	d.compressAll(t, d.add(t).Index)
	before := d.files(t, ".block")
	d.write(t, "z", words(2, 1<<20))
	x := d.add(t).Index
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- d.store.Serve(ctx) }()
	defer func() { stop(); <-done }()
	for len(cmp.Diff(before, d.files(t, ".block"))) == 0 || len(d.files(t, ".block")) > len(x.Blocks()) {
		if ctx.Err() != nil {
			t.Fatalf("blocks %v", d.files(t, ".block"))
		}
		<-time.After(5 * time.Millisecond)
	}
}

func base64(b []byte) string { return b64.StdEncoding.EncodeToString(b) }
