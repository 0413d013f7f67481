package folder

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// maxList is the most bytes of a `.files` list.
const maxList = 64 << 20

// List fetches a product's `.files` list: its lines, and the SHA-256 of its text
// by which it is known again.
func List(ctx context.Context, f Folder, product string, o line.Options) (list []manifest.FilesLine, sum [sha256.Size]byte, err error) {
	o.Most = maxList + 1
	ctx, l := line.New(ctx, o)
	defer l.Stop()
	in := &part{ctx: ctx, folder: f, name: product + ".files", length: -1, size: -1}
	defer in.Close()
	var text bytes.Buffer
	if _, err = text.ReadFrom(l.Reader(in)); err == nil {
		sum = sha256.Sum256(text.Bytes())
		if list, err = manifest.ParseFiles(&text, manifest.Limits{Bytes: maxList}); err != nil {
			err = fleet.Errorf(fleet.Invalid, "%w", err)
		}
	} else if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, sum, fmt.Errorf("cannot fetch %s.files from %s: %w", product, f, early(err))
	}
	return list, sum, nil
}

// Key is a content as a `.files` list knows it.
type Key struct {
	MD5  [md5.Size]byte
	Size int64
}

func keyOf(l manifest.FilesLine) Key { return Key{l.MD5, l.Size} }

// content is a content as an index knows it.
type content struct {
	sum    [sha256.Size]byte
	chunks []chunkindex.Chunk // nil for a file of one
}

// Size is the sum of the sizes of a list's files, and how many there are.
func Size(list []manifest.FilesLine) (bytes int64, files int) {
	for _, l := range list {
		if l.Type == manifest.File {
			bytes += l.Size
			files++
		}
	}
	return bytes, files
}

// check refuses a list that makes no tree: what needs no content is seen before
// any is fetched.
func check(list []manifest.FilesLine, portable bool) error {
	none := map[Key]content{}
	for _, l := range list {
		none[keyOf(l)] = content{}
	}
	tree, err := treeOf(list, none)
	if err != nil {
		return err
	}
	if portable {
		if faults := tree.Portable(); len(faults) > 0 {
			return fleet.Errorf(fleet.Invalid, "this system cannot hold the tree: %w", faults[0])
		}
	}
	return nil
}

// treeOf is the list as a manifest. A list knows no executables.
func treeOf(list []manifest.FilesLine, known map[Key]content) (*manifest.Manifest, error) {
	entries := make([]manifest.Entry, len(list))
	for i, l := range list {
		e := manifest.Entry{Path: l.Path, Type: l.Type}
		switch l.Type {
		case manifest.File:
			e.Size, e.Sum = l.Size, known[keyOf(l)].sum
		case manifest.Link:
			e.Target = relative(path.Dir(l.Path), l.Target)
		}
		entries[i] = e
	}
	return manifest.New(entries)
}

// index makes the list's index of what its contents are known to be.
func index(list []manifest.FilesLine, known map[Key]content) (*chunkindex.Index, error) {
	tree, err := treeOf(list, known)
	if err != nil {
		return nil, err
	}
	chunks := map[string][]chunkindex.Chunk{}
	for _, l := range list {
		if c := known[keyOf(l)].chunks; l.Type == manifest.File && c != nil {
			chunks[l.Path] = c
		}
	}
	return chunkindex.New(tree, chunks)
}

// relative is the target of a link in dir that leads to a path from the base.
func relative(dir, target string) string {
	up := ""
	for dir != "." && target != dir && !strings.HasPrefix(target, dir+"/") {
		dir = path.Dir(dir)
		up += "../"
	}
	switch {
	case target == dir:
		target = ""
	case dir != ".":
		target = target[len(dir)+1:]
	}
	if target = up + target; target == "" {
		return "."
	}
	return strings.TrimSuffix(target, "/")
}

// hashing learns what a content is while it passes.
type hashing struct {
	md5   func([]byte) []byte
	write []io.Writer
	sum   func() [sha256.Size]byte

	chunk []byte // of the chunk under way
	list  []chunkindex.Chunk
}

func newHashing() *hashing {
	m, s := md5.New(), sha256.New()
	return &hashing{md5: m.Sum, write: []io.Writer{m, s}, sum: func() [sha256.Size]byte { return [sha256.Size]byte(s.Sum(nil)) }}
}

// Write never fails.
func (h *hashing) Write(p []byte) (int, error) {
	for _, w := range h.write {
		w.Write(p)
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkindex.MaxChunk-len(h.chunk))
		h.chunk = append(h.chunk, rest[:n]...)
		if rest = rest[n:]; len(h.chunk) == chunkindex.MaxChunk {
			h.cut()
		}
	}
	return len(p), nil
}

func (h *hashing) cut() {
	h.list = append(h.list, chunkindex.Chunk{Size: len(h.chunk), Sum: sha256.Sum256(h.chunk)})
	h.chunk = h.chunk[:0]
}

// is tells whether the whole is what a list says, and what it is to an index.
func (h *hashing) is(k Key) (content, bool) {
	if [md5.Size]byte(h.md5(nil)) != k.MD5 {
		return content{}, false
	}
	c := content{sum: h.sum()}
	if len(h.chunk) > 0 {
		h.cut()
	}
	if len(h.list) > 1 {
		c.chunks = h.list
	}
	return c, true
}
