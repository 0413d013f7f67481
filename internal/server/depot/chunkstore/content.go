package chunkstore

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// catalog is an index with what a server derives from it.
type catalog struct {
	*chunkindex.Index
	blocks []chunkindex.Range
	places []place // by ordinal: where the tree has the chunk
}

type place struct {
	entry  uint32
	offset int64
}

func newCatalog(x *chunkindex.Index) *catalog {
	c := &catalog{Index: x, blocks: x.Blocks(), places: make([]place, 0, len(x.Chunks))}
	for i := range x.Tree.Entries {
		var offset int64
		for _, n := range x.Of(i) {
			if int(n) == len(c.places) { // first occurrences come in order
				c.places = append(c.places, place{uint32(i), offset})
			}
			offset += int64(x.Chunks[n].Size)
		}
	}
	return c
}

// content reads chunks out of a tree. It keeps the last file open, because
// neighbours lie in one file.
type content struct {
	*catalog
	root  *os.Root
	file  *os.File
	entry uint32
}

func (c *content) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// append adds the bytes of chunk n to buf. What the tree has is hashed: a file
// that is not as it was indexed is an error with [fleet.Conflict], and nothing
// of it is returned.
func (c *content) append(buf []byte, n int) ([]byte, error) {
	want, at := c.Chunks[n], c.places[n]
	path := c.Tree.Entries[at.entry].Path
	if c.file == nil || c.entry != at.entry {
		c.Close()
		f, err := c.root.Open(path)
		if err != nil {
			c.file = nil
			return buf, drift(path, err)
		}
		c.file, c.entry = f, at.entry
	}
	start := len(buf)
	buf = append(buf, make([]byte, want.Size)...)
	if _, err := c.file.ReadAt(buf[start:], at.offset); err != nil && err != io.EOF {
		return buf[:start], drift(path, err)
	}
	if sha256.Sum256(buf[start:]) != want.Sum {
		return buf[:start], drift(path, fmt.Errorf("its content is not what was installed"))
	}
	return buf, nil
}

func drift(path string, cause error) error {
	return fleet.WithHint(
		fleet.Errorf(fleet.Conflict, "cannot send %q: %w", path, cause),
		"install the product again; a depot's files must not be edited in place")
}
