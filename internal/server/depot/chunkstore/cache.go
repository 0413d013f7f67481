package chunkstore

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// cache is the cache folder; see the package comment for what is in it.
type cache string

const (
	indexSuffix = ".index"
	deltaSuffix = ".delta"
	blockSuffix = ".block"
)

// maxIndexText bounds what is unpacked from an index file.
const maxIndexText = 256 << 20

func (c cache) path(product, name string) string { return filepath.Join(string(c), product, name) }

func (c cache) put(product, name string, data []byte) error {
	err := os.MkdirAll(c.path(product, ""), 0o755)
	if err == nil {
		err = atomicfile.WriteFile(c.path(product, name), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot keep %q in the chunk cache: %w", name, err)
	}
	return nil
}

func (c cache) putIndex(product string, x *chunkindex.Index) error {
	text := x.Text()
	packed, err := pack(text, nil)
	if err != nil {
		return fmt.Errorf("cannot compress the tree index: %w", err)
	}
	return c.put(product, fmt.Sprintf("%x-%x%s", x.Digest, sha256.Sum256(text), indexSuffix), packed)
}

// indexFile finds the file of the index of a tree.
func (c cache) indexFile(product string, digest [sha256.Size]byte) (name string, err error) {
	return c.find(product, func(name string) bool {
		return strings.HasPrefix(name, hex.EncodeToString(digest[:])+"-") && strings.HasSuffix(name, indexSuffix)
	})
}

// baseFile finds the file of the index whose text has a sum.
func (c cache) baseFile(product string, text [sha256.Size]byte) (name string, err error) {
	return c.find(product, func(name string) bool {
		return strings.HasSuffix(name, "-"+hex.EncodeToString(text[:])+indexSuffix)
	})
}

func (c cache) find(product string, match func(name string) bool) (string, error) {
	entries, err := os.ReadDir(c.path(product, ""))
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if match(e.Name()) {
			return e.Name(), nil
		}
	}
	return "", fmt.Errorf("the chunk cache has no index of that tree: %w", fs.ErrNotExist)
}

// index reads a tree's index. A file that is not what its name says is removed.
func (c cache) index(product string, digest [sha256.Size]byte) (*chunkindex.Index, error) {
	name, err := c.indexFile(product, digest)
	if err != nil {
		return nil, err
	}
	text, err := c.text(product, name)
	if err != nil {
		return nil, err
	}
	x, err := chunkindex.Parse(bytes.NewReader(text), chunkindex.Limits{})
	if err == nil && x.Digest != digest {
		err = fmt.Errorf("%q holds the index of another tree", name)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(c.path(product, name)))
	}
	return x, nil
}

// text reads the text of an index file.
func (c cache) text(product, name string) ([]byte, error) {
	packed, err := os.ReadFile(c.path(product, name))
	if err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndexText))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	text, err := d.DecodeAll(packed, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot unpack %q: %w", name, err), os.Remove(c.path(product, name)))
	}
	return text, nil
}

// maxIndices is how many indexes of a product are kept, the newest: clients
// that have one of them get only the difference.
const maxIndices = 16

// prune removes a product's blocks that its present tree has not, its oldest
// indexes, and the differences to indexes that are gone.
func (c cache) prune(product string, digest [sha256.Size]byte, blocks map[string]bool) error {
	entries, err := os.ReadDir(c.path(product, ""))
	if err != nil {
		return err
	}
	var indices []fs.FileInfo
	for _, e := range entries {
		name := e.Name()
		gone := strings.HasSuffix(name, blockSuffix) && !blocks[name] ||
			strings.HasSuffix(name, deltaSuffix) && !strings.HasPrefix(name, hex.EncodeToString(digest[:]))
		if info, err := e.Info(); err == nil && strings.HasSuffix(name, indexSuffix) {
			indices = append(indices, info)
		}
		if gone {
			if err := os.Remove(c.path(product, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	slices.SortFunc(indices, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range indices[min(maxIndices, len(indices)):] {
		if strings.HasPrefix(info.Name(), hex.EncodeToString(digest[:])) {
			continue
		}
		if err := os.Remove(c.path(product, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// blockName names a block by its content, so that the next version of a tree
// finds those that did not change. The 1 stands for how it was compressed.
func blockName(x *chunkindex.Index, b chunkindex.Range) string {
	h := sha256.New()
	h.Write([]byte{1})
	for _, c := range x.Chunks[b.First:b.End] {
		h.Write(c.Sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)) + blockSuffix
}
