// Package chunkindex says of which chunks the files of a tree are made, so
// that a client can ask for exactly what it lacks and check every piece of it.
//
// The index of a tree is its manifest (package manifest) and, for each file
// larger than one smallest chunk, the list of its chunks. A server sends it,
// compressed, as the answer to GET /v1/depot/{product}/tree; a client plans
// with it and then asks for chunks with one [Request].
//
// # Trust
//
// Only the manifest is signed. The chunk lists are a hint: a chunk is checked
// by its own sum, and a finished file by the manifest's, so a lie in a list
// costs a transfer and never puts wrong bytes into a file.
//
// # Chunks, ordinals, blocks
//
// Chunks are cut where the content says so (FastCDC, sizes in [MinChunk],
// [NormalChunk], [MaxChunk]); how they are cut is the server's business and may
// change, because the lists travel with the index. A file without a list is one
// chunk, whose sum is the file's own.
//
// Equal chunks are one chunk. The distinct chunks of an index are numbered from
// 0 in the order in which they first occur, walking the files in manifest
// order; these ordinals are what a [Request] names. Both sides derive them, as
// they derive the blocks: consecutive ordinals of at most [BlockSize] bytes,
// which the server keeps compressed.
//
// # Text form, version 1
//
//	fernwerk tree index 1
//	manifest 4711
//	(the manifest's text, 4711 bytes)
//	chunks
//	whole
//	65536 4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945
//	30011 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// After "chunks" stands, for each file larger than MinChunk in manifest order,
// either "whole" or its chunks until their sizes add up to the file's. Nothing
// names the file: a file that comes or goes changes no other line, which keeps
// the difference between two versions of an index small. LF ends every line,
// and what parses prints back identically.
package chunkindex

import (
	"crypto/sha256"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Sizes in bytes. The chunk sizes are limits of the format: only the last chunk
// of a file may be smaller than MinChunk, none is larger than MaxChunk.
const (
	MinChunk    = 16 << 10
	NormalChunk = 64 << 10
	MaxChunk    = 256 << 10

	// BlockSize bounds the content of a block, and with it the memory in which
	// a client can unpack one: a frame's window never exceeds it. On the Go
	// toolchain's sources blocks of 4, 8 and 16 MiB compress to 24.8, 24.5 and
	// 24.3 MB; more content in one block means that a change, or a cut line,
	// spoils more of what was compressed ahead.
	BlockSize = 8 << 20
)

// Chunk is a piece of a file.
type Chunk struct {
	Size int // bytes, from 1 to MaxChunk
	Sum  [sha256.Size]byte
}

// Index is a manifest with the chunks of its files. Values come from [New] and
// [Parse] and are to be read only.
type Index struct {
	Tree   *manifest.Manifest
	Digest [sha256.Size]byte // of the manifest: the tree's name
	Chunks []Chunk           // the distinct chunks, by ordinal

	refs []uint32 // the ordinals of all files, one file after the other
	ends []uint32 // for each entry of Tree: where its refs end
}

// New makes the index of a tree. lists has the chunks of the files that consist
// of more than one, by path.
func New(tree *manifest.Manifest, lists map[string][]Chunk) (*Index, error) {
	b := newBuilder(tree)
	for _, e := range tree.Entries {
		if err := b.add(e, lists[e.Path]); err != nil {
			return nil, fmt.Errorf("cannot index the tree: %w", err)
		}
	}
	b.x.Digest = tree.Digest()
	return &b.x, nil
}

// Of returns the ordinals of the chunks of an entry of Tree, in the order of its
// content. Folders, links and empty files have none.
func (x *Index) Of(entry int) []uint32 {
	from := uint32(0)
	if entry > 0 {
		from = x.ends[entry-1]
	}
	return x.refs[from:x.ends[entry]]
}

// Size is the sum of the sizes of the chunks that r names.
func (x *Index) Size(r Ranges) int64 {
	var n int64
	for _, part := range r {
		for _, c := range x.Chunks[part.First:part.End] {
			n += int64(c.Size)
		}
	}
	return n
}

// Blocks returns the blocks of the index in order. Each holds at least one chunk
// and at most BlockSize bytes; together they hold every chunk.
func (x *Index) Blocks() []Range {
	var blocks []Range
	size := 0
	for n, c := range x.Chunks {
		if n == 0 || size+c.Size > BlockSize {
			blocks = append(blocks, Range{n, n})
			size = 0
		}
		size += c.Size
		blocks[len(blocks)-1].End = n + 1
	}
	return blocks
}

// builder collects the chunks of entries in manifest order.
type builder struct {
	x    Index
	seen map[[sha256.Size]byte]uint32
}

func newBuilder(tree *manifest.Manifest) *builder {
	return &builder{
		x:    Index{Tree: tree, ends: make([]uint32, 0, len(tree.Entries))},
		seen: make(map[[sha256.Size]byte]uint32, len(tree.Entries)),
	}
}

// add appends an entry; list is nil for a file of one chunk.
func (b *builder) add(e manifest.Entry, list []Chunk) error {
	if err := checkList(e, list); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	if list == nil && e.Size > 0 {
		list = []Chunk{{int(e.Size), e.Sum}}
	}
	for _, c := range list {
		n, ok := b.seen[c.Sum]
		switch {
		case !ok:
			n = uint32(len(b.x.Chunks))
			b.seen[c.Sum] = n
			b.x.Chunks = append(b.x.Chunks, c)
		case b.x.Chunks[n].Size != c.Size:
			return fmt.Errorf("%q: the chunk %x has %d bytes, and %d elsewhere", e.Path, c.Sum, c.Size, b.x.Chunks[n].Size)
		}
		b.x.refs = append(b.x.refs, n)
	}
	b.x.ends = append(b.x.ends, uint32(len(b.x.refs)))
	return nil
}

// checkList applies the rules of the format to one file's list.
func checkList(e manifest.Entry, list []Chunk) error {
	if list == nil {
		if e.Size > MaxChunk {
			return fmt.Errorf("%d bytes need a list of chunks", e.Size)
		}
		return nil
	}
	if e.Size <= MinChunk || len(list) < 2 {
		return fmt.Errorf("%d bytes in %d chunks cannot have a list", e.Size, len(list))
	}
	left := e.Size
	for i, c := range list {
		if err := checkSize(c.Size, left, i); err != nil {
			return err
		}
		left -= int64(c.Size)
	}
	if left != 0 {
		return fmt.Errorf("the chunks are %d bytes short of the file", left)
	}
	return nil
}

// checkSize checks the size of chunk i where left bytes of the file remain.
func checkSize(size int, left int64, i int) error {
	switch {
	case size <= 0 || size > MaxChunk:
		return fmt.Errorf("chunk %d cannot have %d bytes", i, size)
	case int64(size) > left:
		return fmt.Errorf("chunk %d ends behind the file", i)
	case int64(size) < left && size < MinChunk:
		return fmt.Errorf("chunk %d has %d bytes, less than %d, and is not the last", i, size, MinChunk)
	case int64(size) == left && i == 0:
		return fmt.Errorf("a file of one chunk has no list")
	}
	return nil
}
