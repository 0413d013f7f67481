package chunkstore

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers the algorithm
	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Built is what one reading of a tree finds out about it.
type Built struct {
	Index *chunkindex.Index
	MD5   map[string][md5.Size]byte // of every file, by path: for the product's `.files`
}

// Build reads a tree once, with all processors, and lists its files and their
// chunks. omit is a path that is not part of the tree: a product's own `.files`
// list, or "" for none. What is neither folder, file nor link, and a link that
// leaves the tree, is an error. The tree must not change meanwhile.
func Build(ctx context.Context, root *os.Root, omit string) (*Built, error) {
	b, err := build(ctx, root, omit)
	if err != nil {
		return nil, fmt.Errorf("cannot index %q: %w", root.Name(), err)
	}
	return b, nil
}

// scanned is one file's part of Built.
type scanned struct {
	md5  [md5.Size]byte
	list []chunkindex.Chunk
}

func build(ctx context.Context, root *os.Root, omit string) (*Built, error) {
	entries, err := walk(ctx, root, omit)
	if err != nil {
		return nil, err
	}
	files := make([]scanned, len(entries))
	jobs := make(chan int)
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			s, err := newScanner()
			if err != nil {
				return err
			}
			for i := range jobs {
				if files[i], err = s.scan(ctx, root, &entries[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(jobs)
		for i, e := range entries {
			if !e.Type.Regular() {
				continue
			}
			select {
			case jobs <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	b := &Built{MD5: make(map[string][md5.Size]byte, len(entries))}
	lists := make(map[string][]chunkindex.Chunk)
	for i, e := range entries {
		if e.Type.Regular() {
			b.MD5[e.Path] = files[i].md5
		}
		if len(files[i].list) > 1 {
			lists[e.Path] = files[i].list
		}
	}
	tree, err := manifest.New(entries)
	if err != nil {
		return nil, err
	}
	b.Index, err = chunkindex.New(tree, lists)
	return b, err
}

// walk lists the tree without looking into the files.
func walk(ctx context.Context, root *os.Root, omit string) ([]manifest.Entry, error) {
	var entries []manifest.Entry
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || path == "." || path == omit {
			return err
		}
		e := manifest.Entry{Path: path}
		switch d.Type() {
		case fs.ModeDir:
			e.Type = manifest.Dir
		case fs.ModeSymlink:
			e.Type = manifest.Link
			e.Target, err = root.Readlink(path)
		case 0:
			e.Type = manifest.File
			var info fs.FileInfo
			if info, err = d.Info(); err == nil && info.Mode()&0o100 != 0 {
				e.Type = manifest.Exec
			}
		default:
			err = fmt.Errorf("%q is neither folder, file nor link", path)
		}
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// scanner holds what one worker uses again for every file.
type scanner struct {
	chunker *chunkers.Chunker
}

func newScanner() (*scanner, error) {
	// The name matters: what the library registers as "fastcdc" has the masks
	// of 8 KiB chunks whatever the options say.
	c, err := chunkers.NewChunkerBuffer("fastcdc-v1.0.0", nil, &chunkers.ChunkerOpts{
		MinSize:    chunkindex.MinChunk,
		NormalSize: chunkindex.NormalChunk,
		MaxSize:    chunkindex.MaxChunk,
	}, make([]byte, 2*chunkindex.MaxChunk))
	return &scanner{c}, err
}

// scan fills the entry's size and sum.
func (s *scanner) scan(ctx context.Context, root *os.Root, e *manifest.Entry) (out scanned, err error) {
	f, err := root.Open(e.Path)
	if err != nil {
		return out, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return out, err
	}
	several := info.Size() > chunkindex.MinChunk // else it is one chunk, and its sum the file's
	whole, legacy := sha256.New(), md5.New()
	s.chunker.Reset(f)
	for err == nil {
		var data []byte
		data, err = s.chunker.Next() // the last chunk may come together with the end
		if err != nil && err != io.EOF {
			return out, err
		}
		if len(data) == 0 {
			break
		}
		legacy.Write(data)
		whole.Write(data)
		e.Size += int64(len(data))
		if several {
			out.list = append(out.list, chunkindex.Chunk{Size: len(data), Sum: sha256.Sum256(data)})
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	e.Sum = [sha256.Size]byte(whole.Sum(nil))
	out.md5 = [md5.Size]byte(legacy.Sum(nil))
	if e.Size != info.Size() {
		return out, fmt.Errorf("%q changed while it was read", e.Path)
	}
	return out, nil
}
