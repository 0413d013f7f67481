package folder

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

// Job says what to collect.
type Job struct {
	// Dir is where content is kept as it arrives, one file each, until the tree
	// is made of it; made when missing. What is in it already is looked at first.
	Dir     string
	List    []manifest.FilesLine
	Copies  []string // folders on this machine that may have some of it, such as the version before
	Folders []Folder // asked one after the other; what one brought stays

	Limiter  *throttle.Limiter
	Retry    retry.Policy  // as of transfer.Job
	Idle     time.Duration // as of transfer.Job
	Portable bool          // refuse what Windows cannot hold
	Progress func(transfer.Progress)
}

// Collected is what came of it: everything that the list names is in the seeds.
type Collected struct {
	Index *chunkindex.Index
	Seeds []transfer.Seed
	Wire  int64  // bytes that came over the line
	From  string // the folder that brought something last; "" if all was here
}

// Collect brings all that a list names onto this machine and checks it by size
// and MD5. After any error what has arrived stays for the next time: whole files,
// and the beginnings of files, whose end is asked for.
func Collect(ctx context.Context, job Job) (Collected, error) {
	c := &collecting{Job: job, times: map[Key]int{}, doubts: map[Key]bool{}, known: map[Key]content{}, parts: map[string]content{}}
	out, err := c.run(ctx)
	if err != nil {
		err = fmt.Errorf("cannot collect the files: %w", err)
		if disk, ok := errors.AsType[*diskError](err); ok {
			err = fleet.WithHint(err, "look at the disk of %s: %v; what has arrived is kept", job.Dir, disk.error)
		}
	}
	return out, err
}

type collecting struct {
	Job
	seeds []transfer.Seed
	from  string

	mu       sync.Mutex
	times    map[Key]int // how many files have a content
	known    map[Key]content
	doubts   map[Key]bool       // beginnings that were thrown away
	parts    map[string]content // whole ones in Dir, by name
	progress transfer.Progress
}

func (c *collecting) run(ctx context.Context) (Collected, error) {
	if err := check(c.List, c.Portable || runtime.GOOS == "windows"); err != nil {
		return Collected{}, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return Collected{}, err
	}
	c.progress.BytesTotal, c.progress.FilesTotal = Size(c.List)
	wanted := c.wanted()
	if err := c.keep(ctx, wanted); err != nil {
		return Collected{}, err
	}
	for _, dir := range c.Copies {
		if err := c.take(ctx, dir, wanted); err != nil {
			return Collected{}, err
		}
	}
	for k := range c.known {
		delete(wanted, k)
	}
	c.note(0)
	if err := c.fetch(ctx, wanted); err != nil {
		return Collected{Wire: c.progress.WireBytes}, err
	}
	x, err := index(c.List, c.known)
	if err != nil {
		return Collected{}, err
	}
	parts, err := seedOf(c.Dir, c.parts)
	if err != nil {
		return Collected{}, err
	}
	parts.Disposable = true
	return Collected{Index: x, Seeds: append(c.seeds, parts), Wire: c.progress.WireBytes, From: c.from}, atomicfile.SyncTree(c.Dir)
}

// wanted are the contents that the list names, each with a path that has it.
func (c *collecting) wanted() map[Key]string {
	w := map[Key]string{}
	for _, l := range c.List {
		if l.Type == manifest.File {
			if c.times[keyOf(l)]++; c.times[keyOf(l)] == 1 {
				w[keyOf(l)] = l.Path
			}
		}
	}
	return w
}

// name is a content's in Dir; while it is incomplete, with the suffix.
func (k Key) name() string { return fmt.Sprintf("%s-%d", hex.EncodeToString(k.MD5[:]), k.Size) }

const incomplete = ".part"

// keep looks at what is in Dir: what is not wanted is removed, what is whole is
// hashed.
func (c *collecting) keep(ctx context.Context, wanted map[Key]string) error {
	names := make(map[string]Key, len(wanted))
	for k := range wanted {
		names[k.name()] = k
	}
	list, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for _, e := range list {
		path := filepath.Join(c.Dir, e.Name())
		name, part := strings.CutSuffix(e.Name(), incomplete)
		k, ok := names[name]
		switch {
		case !ok || !e.Type().IsRegular():
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		case !part:
			g.Go(func() error {
				if got, ok := look(ctx, path, k); ok {
					c.found(k, got, name)
					return nil
				} else if ctx.Err() != nil {
					return ctx.Err()
				}
				return os.Remove(path)
			})
		}
	}
	return g.Wait()
}

// look hashes a file; one that cannot be read is as good as none.
func look(ctx context.Context, path string, k Key) (content, bool) {
	f, err := os.Open(path)
	if err != nil {
		return content{}, false
	}
	defer f.Close()
	h := newHashing()
	buf := make([]byte, block)
	for n := int64(0); ctx.Err() == nil; {
		m, err := f.Read(buf)
		h.Write(buf[:m])
		if n += int64(m); n > k.Size || err != nil && err != io.EOF {
			return content{}, false
		}
		if err == io.EOF {
			if n != k.Size {
				return content{}, false
			}
			return h.is(k)
		}
	}
	return content{}, false
}

// found notes a whole content; part is its name in Dir, if it lies there.
func (c *collecting) found(k Key, got content, part string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.known[k]; !twice {
		c.progress.FilesDone += c.times[k]
		c.progress.BytesDone += int64(c.times[k]) * k.Size
	}
	c.known[k] = got
	if part != "" {
		c.parts[part] = got
	}
}

// take looks for wanted contents in a copy, wherever a file has the size of one.
// What it has is not copied but becomes a seed.
func (c *collecting) take(ctx context.Context, dir string, wanted map[Key]string) error {
	sizes := map[int64][]Key{}
	for k := range wanted {
		if _, ok := c.known[k]; !ok {
			sizes[k.Size] = append(sizes[k.Size], k)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil // there is no copy, or none to be read
	}
	defer root.Close()
	var mu sync.Mutex
	has := map[string]content{}
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || working.Err() != nil || !d.Type().IsRegular() {
			return working.Err() // what cannot be read has nothing to give
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 || len(sizes[info.Size()]) == 0 {
			return nil
		}
		g.Go(func() error {
			h := newHashing()
			f, err := root.Open(path)
			if err != nil {
				return nil
			}
			defer f.Close()
			if n, err := io.Copy(h, io.LimitReader(f, info.Size())); err != nil || n != info.Size() {
				return nil
			}
			for _, k := range sizes[info.Size()] {
				if got, ok := h.is(k); ok {
					c.found(k, got, "")
					mu.Lock()
					has[path] = got
					mu.Unlock()
					break
				}
			}
			return nil
		})
		return nil
	})
	if err := errors.Join(err, g.Wait(), ctx.Err()); err != nil {
		return err
	}
	seed, err := seedOf(dir, has)
	if err == nil {
		seed.Disposable = true
		c.seeds = append(c.seeds, seed)
	}
	return nil // names that no index can have are no seed
}

// seedOf is a folder of which some files are known.
func seedOf(dir string, has map[string]content) (transfer.Seed, error) {
	folders := map[string]bool{}
	chunks := map[string][]chunkindex.Chunk{}
	var entries []manifest.Entry
	for path, got := range has {
		for dir := filepath.ToSlash(filepath.Dir(path)); dir != "." && !folders[dir]; dir = filepath.ToSlash(filepath.Dir(dir)) {
			folders[dir] = true
			entries = append(entries, manifest.Entry{Path: dir, Type: manifest.Dir})
		}
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			return transfer.Seed{}, err
		}
		entries = append(entries, manifest.Entry{Path: path, Type: manifest.File, Size: info.Size(), Sum: got.sum})
		if got.chunks != nil {
			chunks[path] = got.chunks
		}
	}
	slices.SortFunc(entries, func(a, b manifest.Entry) int { return strings.Compare(a.Path, b.Path) })
	tree, err := manifest.New(entries)
	if err != nil {
		return transfer.Seed{}, err
	}
	x, err := chunkindex.New(tree, chunks)
	return transfer.Seed{Dir: dir, Index: x}, err
}

// note counts bytes on the line and tells how far all is. A file counts when it
// is whole.
func (c *collecting) note(wire int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.WireBytes += int64(wire)
	if c.Progress != nil {
		c.Progress(c.progress)
	}
}
