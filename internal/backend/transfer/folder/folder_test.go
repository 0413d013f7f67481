package folder_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/webdav"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/cifs"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/folder"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	dav "github.com/fernwerk/fernwerk/internal/backend/transfer/webdav"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
	"github.com/fernwerk/fernwerk/test/require"
)

// tree is a product's content by path: "/" is a folder, "-> x" a link to x from
// the base.
type tree map[string]string

func noise(seed uint64, size int) string {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// sample has all that is odd about names and files.
func sample() tree {
	return tree{
		"setup.sh": "echo done", "empty": "", "a": "/", "a/b": "/", "a/b/large": noise(1, 700_000), "a/b/again": noise(1, 700_000),
		"it's": "quoted", " blank ": "blanks", "50% #?&+;": "signs", "ümläut/ß": "letters", "ümläut": "/", "packed.gz": "\x1f\x8b not really",
		"none": "/", "a/link": "-> a/b/large", "up": "-> ümläut", "exact": noise(2, chunkindex.MaxChunk),
	}
}

// write puts the tree on a disk, as a depot has it, with its list.
func (tr tree) write(t testing.TB, dir, product string) []manifest.FilesLine {
	t.Helper()
	list := tr.list()
	base := filepath.Join(dir, product)
	for _, l := range list {
		name := filepath.Join(base, filepath.FromSlash(l.Path))
		var err error
		switch l.Type {
		case manifest.Dir:
			err = os.MkdirAll(name, 0o755)
		case manifest.File:
			if err = os.MkdirAll(filepath.Dir(name), 0o755); err == nil {
				err = os.WriteFile(name, []byte(tr[l.Path]), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(base, product+".files"))
	if err == nil {
		err = manifest.WriteFiles(f, list)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (tr tree) list() (list []manifest.FilesLine) {
	for path, text := range tr {
		l := manifest.FilesLine{Path: path, Type: manifest.File, Size: int64(len(text)), MD5: md5.Sum([]byte(text))}
		if text == "/" {
			l = manifest.FilesLine{Path: path, Type: manifest.Dir}
		} else if to, ok := strings.CutPrefix(text, "-> "); ok {
			l = manifest.FilesLine{Path: path, Type: manifest.Link, Target: to}
		}
		list = append(list, l)
	}
	return list
}

// read is what lies in a folder.
func read(t testing.TB, dir string) tree {
	t.Helper()
	got := tree{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			got[name] = "/"
		case d.Type() == os.ModeSymlink:
			to, err := os.Readlink(path)
			got[name] = "-> " + manifest.Resolve(name, to)
			return err
		default:
			text, err := os.ReadFile(path)
			got[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// depot serves a folder by WebDAV, as an opsi server does, and counts.
type depot struct {
	*httptest.Server
	dir      string
	requests atomic.Int64
	bytes    atomic.Int64
	before   func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func newDepot(t testing.TB) *depot {
	d := &depot{dir: t.TempDir()}
	inner := &webdav.Handler{Prefix: "/depot", FileSystem: webdav.Dir(d.dir), LockSystem: webdav.NewMemLS()}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		if r.Method != http.MethodGet {
			t.Errorf("a %s was sent", r.Method)
		}
		if strings.HasSuffix(r.URL.Path, ".gz") {
			w.Header().Set("Content-Encoding", "gzip") // as some servers label what they hold
		}
		if d.before == nil || !d.before(w, r) {
			inner.ServeHTTP(&counting{w, &d.bytes}, r)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (d *depot) folder(product string) *dav.Folder { return at(d.Listener.Addr().String(), product) }

func at(address, product string) *dav.Folder {
	return &dav.Folder{Client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: folder.Parallel}},
		Base: "http://" + address + "/depot", Product: product}
}

var quick = retry.Policy{First: time.Millisecond, Max: time.Millisecond}

// fill makes a folder of a list, as the product cache does, and returns what it
// holds.
func fill(ctx context.Context, dir string, list []manifest.FilesLine, copies []string, folders ...folder.Folder) (folder.Collected, error) {
	c, err := folder.Collect(ctx, folder.Job{Dir: filepath.Join(dir, "parts"), List: list, Copies: copies, Folders: folders, Retry: quick})
	if err != nil {
		return c, err
	}
	_, err = transfer.Sync(ctx, transfer.Job{Stage: filepath.Join(dir, "stage"), Index: c.Index, Seeds: c.Seeds})
	return c, err
}

func check(t testing.TB, want tree, dir string) {
	t.Helper()
	if diff := cmp.Diff(want, read(t, filepath.Join(dir, "stage"))); diff != "" {
		t.Errorf("the tree differs:\n%.2000s", diff)
	}
}

func TestCollect_WebDAV(t *testing.T) {
	d := newDepot(t)
	want := sample()
	list := want.write(t, d.dir, "editor")
	f := d.folder("editor")
	got, sum, err := folder.List(t.Context(), f, "editor", line.Options{})
	if err != nil || len(got) != len(list) || sum == [32]byte{} {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	dir := t.TempDir()
	var last transfer.Progress
	c, err := folder.Collect(t.Context(), folder.Job{Dir: filepath.Join(dir, "parts"), List: got, Folders: []folder.Folder{f}, Limiter: throttle.New(0),
		Progress: func(p transfer.Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if bytes, files := folder.Size(got); last.BytesDone != bytes || last.FilesDone != files || last.BytesTotal != bytes || last.FilesTotal != files {
		t.Errorf("progress %+v", last)
	}
	if c.From != f.String() || !strings.HasPrefix(c.From, "webdav 127.0.0.1:") {
		t.Errorf("from %q", c.From)
	}
	// The two equal files come once, the empty one never.
	if n := d.requests.Load(); n != 9 {
		t.Errorf("%d requests", n)
	}
	if _, err := transfer.Sync(t.Context(), transfer.Job{Stage: filepath.Join(dir, "stage"), Index: c.Index, Seeds: c.Seeds}); err != nil {
		t.Fatal(err)
	}
	check(t, want, dir)

	t.Run("what is here already is not fetched", func(t *testing.T) {
		before := d.bytes.Load()
		next := tree{}
		for path, text := range want {
			next[path] = text
		}
		next["new"], next["moved"] = "new content", next["a/b/large"]
		delete(next, "a/b/large")
		delete(next, "a/link")
		list := next.write(t, d.dir, "editor")
		other := t.TempDir()
		if _, err := fill(t.Context(), other, list, []string{filepath.Join(dir, "stage")}, f); err != nil {
			t.Fatal(err)
		}
		check(t, next, other)
		if n := d.bytes.Load() - before; n != int64(len("new content")) {
			t.Errorf("%d bytes were sent", n)
		}
	})
}

func TestCollect_CIFS(t *testing.T) {
	dir := t.TempDir()
	want := sample()
	delete(want, "50% #?&+;") // Windows has no such names, and no share gives them
	want["50% #&+;"] = "signs"
	list := want.write(t, dir, "editor")
	samba := require.Samba(t, dir)
	share, err := cifs.New(samba.URL(), func(context.Context) (cifs.Credentials, error) {
		return cifs.Credentials{User: samba.User, Password: samba.Password}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer share.Close()
	f := &cifs.Folder{Share: share, Product: "editor"}
	got, _, err := folder.List(t.Context(), f, "editor", line.Options{})
	if err != nil || len(got) != len(list) {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	to := t.TempDir()
	c, err := fill(t.Context(), to, got, nil, f)
	if err != nil {
		t.Fatal(err)
	}
	check(t, want, to)
	t.Run("within the rate", func(t *testing.T) {
		begun := time.Now()
		if _, err := folder.Collect(t.Context(), folder.Job{Dir: t.TempDir(), List: got, Folders: []folder.Folder{f}, Limiter: throttle.New(1_000_000)}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 900*time.Millisecond { // 962,190 bytes
			t.Errorf("it took %v", took)
		}
	})
	t.Run("by an index of ours", func(t *testing.T) {
		to := t.TempDir()
		source := &folder.Source{Folder: f, Index: c.Index}
		res, err := transfer.Sync(t.Context(), transfer.Job{Stage: filepath.Join(to, "stage"), Index: c.Index, Sources: []transfer.Source{source}})
		if err != nil {
			t.Fatal(err)
		}
		if res.Wire != res.Fetched || res.Requests != 1 {
			t.Errorf("%+v", res)
		}
		check(t, want, to)
	})
}

// cutter lets only so many bytes through on each connection.
type cutter struct {
	net.Listener
	most   atomic.Int64
	target string
	group  sync.WaitGroup
}

func newCutter(t testing.TB, target string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, target: target}
	ctx, cancel := context.WithCancel(context.Background())
	c.group.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			c.group.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", c.target)
				if err != nil {
					return
				}
				defer out.Close()
				stop := context.AfterFunc(ctx, func() { out.Close() })
				defer stop()
				go io.Copy(out, in)
				io.CopyN(in, out, c.most.Load())
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); c.group.Wait() })
	return c
}

// However often the connections break, all arrives in the end, and what has
// arrived is not fetched again.
func TestCollect_CutAnywhere(t *testing.T) {
	d := newDepot(t)
	want := tree{}
	for i := range 8 {
		want[fmt.Sprintf("file%d", i)] = noise(uint64(i), i*i*500)
	}
	list := want.write(t, d.dir, "editor")
	size, _ := folder.Size(list)
	c := newCutter(t, d.Listener.Addr().String())
	rapid.Check(t, func(rt *rapid.T) {
		c.most.Store(int64(rapid.IntRange(3_000, 40_000).Draw(rt, "bytes a connection")))
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		f := at(c.Addr().String(), "editor")
		got, err := fill(t.Context(), dir, list, nil, f)
		f.Client.CloseIdleConnections()
		if err != nil {
			rt.Fatal(err)
		}
		check(t, want, dir)
		if got.Wire != size {
			rt.Errorf("%d bytes came for %d", got.Wire, size)
		}
	})
}

// The same with an index of ours.
func TestSource_CutAnywhere(t *testing.T) {
	d := newDepot(t)
	want := tree{}
	for i := range 6 {
		want[fmt.Sprintf("file%d", i)] = noise(uint64(i), i*i*12_000)
	}
	list := want.write(t, d.dir, "editor")
	whole, err := fill(t.Context(), t.TempDir(), list, nil, d.folder("editor"))
	if err != nil {
		t.Fatal(err)
	}
	c := newCutter(t, d.Listener.Addr().String())
	rapid.Check(t, func(rt *rapid.T) {
		c.most.Store(int64(rapid.IntRange(20_000, 400_000).Draw(rt, "bytes a connection")))
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		f := at(c.Addr().String(), "editor")
		defer f.Client.CloseIdleConnections()
		_, err = transfer.Sync(t.Context(), transfer.Job{Stage: filepath.Join(dir, "stage"), Index: whole.Index, Retry: quick,
			Sources: []transfer.Source{&folder.Source{Folder: f, Index: whole.Index}}})
		if err != nil {
			rt.Fatal(err)
		}
		check(t, want, dir)
	})
}

// A depot that dies in the middle is left for the next one, and what it brought
// stays.
func TestCollect_NextDepot(t *testing.T) {
	one, two := newDepot(t), newDepot(t)
	want := tree{}
	for i := range 100 {
		want[fmt.Sprintf("file%d", i)] = noise(uint64(i), 5000)
	}
	list := want.write(t, one.dir, "editor")
	want.write(t, two.dir, "editor")
	var served atomic.Int64
	one.before = func(w http.ResponseWriter, r *http.Request) bool {
		if served.Add(1) > 40 {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	dir := t.TempDir()
	c, err := fill(t.Context(), dir, list, nil, one.folder("editor"), two.folder("editor"))
	if err != nil {
		t.Fatal(err)
	}
	check(t, want, dir)
	if c.From != two.folder("editor").String() {
		t.Errorf("from %s", c.From)
	}
	if n := two.requests.Load(); n > 100-40+folder.Parallel || n < 60 {
		t.Errorf("the second depot was asked for %d files", n)
	}
}

// Over a far line the time is that of some round trips, not of one a file.
func TestCollect_FarLine(t *testing.T) {
	d := newDepot(t)
	want := tree{}
	for i := range 300 {
		want[fmt.Sprintf("file%d", i)] = noise(uint64(i), 2000)
	}
	list := want.write(t, d.dir, "editor")
	far, err := slowline.Listen(slowline.Line{Rate: 2_500_000, RTT: 40 * time.Millisecond}, "127.0.0.1:0", d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { far.Serve(ctx) })
	defer group.Wait()
	defer cancel()
	begun := time.Now()
	if _, err := folder.Collect(t.Context(), folder.Job{Dir: t.TempDir(), List: list, Folders: []folder.Folder{at(far.Addr().String(), "editor")}}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	t.Logf("%d files in %v", len(list), took)
	if one := 300 * 40 * time.Millisecond; took > one/2 {
		t.Errorf("%v, and one after the other would take %v", took, one)
	}
}

// The rate is one for all files that are fetched side by side.
func TestCollect_Rate(t *testing.T) {
	d := newDepot(t)
	want := tree{}
	for i := range 20 {
		want[fmt.Sprintf("file%d", i)] = noise(uint64(i), 50_000)
	}
	list := want.write(t, d.dir, "editor")
	begun := time.Now()
	_, err := folder.Collect(t.Context(), folder.Job{Dir: t.TempDir(), List: list, Folders: []folder.Folder{d.folder("editor")}, Limiter: throttle.New(1_000_000)})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 900*time.Millisecond {
		t.Errorf("1,000,000 bytes at 1,000,000 a second took %v", took)
	}
}

// Whatever a depot does, it cannot put wrong bytes into a tree, write elsewhere
// or send without end.
func TestCollect_HostileDepot(t *testing.T) {
	good := tree{"setup.sh": "echo done", "large": noise(3, 300_000)}
	for _, test := range []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		code   fleet.Code
	}{
		{"other content", func(w http.ResponseWriter, r *http.Request) bool {
			io.WriteString(w, strings.Repeat("x", map[bool]int{true: 300_000, false: 9}[strings.HasSuffix(r.URL.Path, "large")]))
			return true
		}, fleet.Invalid},
		{"endless", func(w http.ResponseWriter, r *http.Request) bool {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			return true
		}, fleet.Invalid},
		{"too short", func(w http.ResponseWriter, r *http.Request) bool { io.WriteString(w, "x"); return true }, fleet.Conflict},
		{"too long", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "300001")
			io.WriteString(w, strings.Repeat("x", 300_001))
			return true
		}, fleet.Conflict},
		{"gone", func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }, fleet.NotFound},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return true
		}, fleet.Denied},
		{"no password of ours", func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(401); return true }, fleet.Unauthenticated},
		{"another part", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 5-13/9")
			w.WriteHeader(206)
			return true
		}, fleet.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDepot(t)
			list := good.write(t, d.dir, "editor")
			d.before = test.before
			f := d.folder("editor")
			f.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			dir := t.TempDir()
			_, err := fill(t.Context(), dir, list, nil, f)
			if fleet.CodeOf(err) != test.code {
				t.Errorf("code %s: %v", fleet.CodeOf(err), err)
			}
			if _, err := os.Lstat(filepath.Join(dir, "stage")); err == nil {
				t.Error("a tree was made")
			}
			for name, text := range read(t, filepath.Join(dir, "parts")) {
				if !strings.HasSuffix(name, ".part") || len(text) > 300_000 {
					t.Errorf("%s with %d bytes is left", name, len(text))
				}
			}
		})
	}
}

// A beginning that is wrong costs its length once, not the product.
func TestCollect_DamagedBeginning(t *testing.T) {
	d := newDepot(t)
	want := tree{"large": noise(3, 300_000)}
	list := want.write(t, d.dir, "editor")
	dir := t.TempDir()
	part := filepath.Join(dir, "parts", fmt.Sprintf("%x-300000.part", md5.Sum([]byte(want["large"]))))
	if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, begun := range []int{1, 299_999, 300_000, 300_001} {
		if err := os.WriteFile(part, make([]byte, begun), 0o600); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(filepath.Join(dir, "stage"))
		if _, err := fill(t.Context(), dir, list, nil, d.folder("editor")); err != nil {
			t.Fatal(err)
		}
		check(t, want, dir)
		os.Remove(strings.TrimSuffix(part, ".part"))
	}
}

// Lists that make no tree are refused before anything is asked for.
func TestCollect_HostileList(t *testing.T) {
	d := newDepot(t)
	sum := strings.Repeat("0", 32)
	for name, text := range map[string]string{
		"out":                "f '../evil' 1 " + sum,
		"absolute":           "f '/evil' 1 " + sum,
		"link out":           "l 'link' 0 '/../../etc'",
		"link with no slash": "l 'link' 0 'etc'",
		"below a link":       "l 'link' 0 '/'\nf 'link/file' 1 " + sum,
		"twice":              "f 'a' 1 " + sum + "\nf 'a' 2 " + sum,
		"no folder":          "f 'a/b' 1 " + sum,
		"negative":           "f 'a' -1 " + sum,
		"huge":               "f 'a' 9223372036854775807 " + sum + "\nf 'b' 9223372036854775807 " + sum,
		"backslash":          `f '..\evil' 1 ` + sum,
		"endless":            strings.Repeat("d 'a' 0\n", 10<<20),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(filepath.Join(d.dir, "evil"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(d.dir, "evil", "evil.files"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			list, _, err := folder.List(t.Context(), d.folder("evil"), "evil", line.Options{})
			if err == nil {
				t.Errorf("it is taken: %d lines", len(list))
			}
			if code := fleet.CodeOf(err); code != fleet.Invalid && code != fleet.TooLarge {
				t.Errorf("code %s: %v", code, err)
			}
		})
	}
	t.Run("what Windows cannot hold", func(t *testing.T) {
		for _, tr := range []tree{{"Case": "a", "case": "b"}, {"con.txt": "a"}, {"a.": "a"}} {
			_, err := folder.Collect(t.Context(), folder.Job{Dir: t.TempDir(), List: tr.list(), Portable: true, Folders: []folder.Folder{d.folder("evil")}})
			if fleet.CodeOf(err) != fleet.Invalid {
				t.Errorf("%v: %v", tr, err)
			}
		}
	})
}
