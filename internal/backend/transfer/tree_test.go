package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// tree is what a folder should hold, by path: file content, or "-> target" for a
// link. A path that ends with a slash is a folder, with ".sh" an executable.
type tree map[string]string

// cutSize is the size of the chunks in these tests; content moves by whole ones.
const cutSize = chunkindex.MinChunk

func (tr tree) index(t testing.TB) *chunkindex.Index {
	t.Helper()
	var entries []manifest.Entry
	lists := make(map[string][]chunkindex.Chunk)
	folders := make(map[string]bool)
	for p, content := range tr {
		e := manifest.Entry{Path: strings.TrimSuffix(p, "/"), Type: manifest.File}
		for d := path.Dir(e.Path); d != "."; d = path.Dir(d) {
			folders[d] = true
		}
		switch target, link := strings.CutPrefix(content, "-> "); {
		case strings.HasSuffix(p, "/"):
			folders[e.Path] = true
			continue
		case link:
			e.Type, e.Target = manifest.Link, target
		default:
			if strings.HasSuffix(p, ".sh") {
				e.Type = manifest.Exec
			}
			e.Size, e.Sum = int64(len(content)), sha256.Sum256([]byte(content))
			for c := range slices.Chunk([]byte(content), cutSize) {
				lists[p] = append(lists[p], chunkindex.Chunk{Size: len(c), Sum: sha256.Sum256(c)})
			}
			if len(lists[p]) < 2 {
				delete(lists, p)
			}
		}
		entries = append(entries, e)
	}
	for d := range folders {
		entries = append(entries, manifest.Entry{Path: d, Type: manifest.Dir})
	}
	m, err := manifest.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	x, err := chunkindex.New(m, lists)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// source serves the tree. Its faults are fields of the result.
func (tr tree) source(t testing.TB) *source {
	s := &source{x: tr.index(t), chunks: make(map[[sha256.Size]byte][]byte)}
	for _, content := range tr {
		s.chunks[sha256.Sum256([]byte(content))] = []byte(content)
		for c := range slices.Chunk([]byte(content), cutSize) {
			s.chunks[sha256.Sum256(c)] = c
		}
	}
	return s
}

func random(seed uint64, size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1}).Read(b)
	return string(b)
}

// source is an honest depot unless told otherwise.
type source struct {
	x      *chunkindex.Index
	chunks map[[sha256.Size]byte][]byte

	answer func(content io.Reader, fresh bool) (io.Reader, error) // nil: as it is
	sent   atomic.Int64
	asked  int
}

func (s *source) Chunks(_ context.Context, q chunkindex.Request, wire func(io.Reader) io.Reader, fresh bool) (io.ReadCloser, error) {
	s.asked++
	if q.Tree != s.x.Digest {
		return nil, errors.New("asked for another tree")
	}
	var parts []io.Reader
	for n := range q.Want.All() {
		parts = append(parts, bytes.NewReader(s.chunks[s.x.Chunks[n].Sum]))
	}
	content := io.MultiReader(parts...)
	if s.answer != nil {
		var err error
		if content, err = s.answer(content, fresh); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(wire(counted{content, &s.sent})), nil
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// hasty repeats at once.
var hasty = retry.Policy{First: time.Nanosecond, Max: time.Nanosecond, Attempts: 3}

// job is a job into an empty folder.
func (tr tree) job(t testing.TB, sources ...transfer.Source) transfer.Job {
	return transfer.Job{Stage: filepath.Join(t.TempDir(), "stage"), Index: tr.index(t), Sources: sources, Retry: hasty}
}

// holds fails the test unless the folder is exactly the tree of the index.
func holds(t testing.TB, dir string, x *chunkindex.Index) {
	t.Helper()
	for _, m := range mismatches(t, dir, x) {
		t.Errorf("%s %s", m.Path, m.Why)
	}
}

func mismatches(t testing.TB, dir string, x *chunkindex.Index) []transfer.Mismatch {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	list, err := transfer.Verify(t.Context(), root, x.Tree)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// sync runs a job that must succeed.
func run(t testing.TB, job transfer.Job) transfer.Result {
	t.Helper()
	result, err := transfer.Sync(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, job.Stage, job.Index)
	return result
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sample has every kind of entry, and content that occurs twice.
func sample() tree {
	big := random(1, 20*cutSize+77)
	return tree{
		"a": "x", "big": big, "copy": big, "d/e/run.sh": "#!/bin/sh\n", "d/empty": "", "d.b": "between d and d/",
		"hole/": "", "link": "-> d/e", "other": random(2, 3*cutSize) + big[:4*cutSize], "small": "x", "z/up": "-> ../a",
	}
}
