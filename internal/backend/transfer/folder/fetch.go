package folder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// diskError is a fault of this machine: another depot would not help.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// errWrong says that a file came whole and is another one.
var errWrong = fleet.Errorf(fleet.Invalid, "the content is not what the list names")

// fetch brings what is wanted from the folders, one folder after the other.
func (c *collecting) fetch(ctx context.Context, wanted map[Key]string) error {
	// Nothing has no content to fetch, and no sum to choose.
	for k, path := range wanted {
		if k.Size > 0 {
			continue
		}
		h := newHashing()
		got, ok := h.is(k)
		if !ok {
			return fleet.Errorf(fleet.Invalid, "the list names another sum than that of nothing for %q, which is empty", path)
		}
		c.found(k, got, "")
		delete(wanted, k)
	}
	if len(wanted) == 0 {
		return nil
	}
	if len(c.Folders) == 0 {
		return fleet.Errorf(fleet.Unavailable, "%d files are missing and there is no depot", len(wanted))
	}
	var faults []error
	for i, f := range c.Folders {
		err := c.drain(ctx, f, wanted, i+1 == len(c.Folders))
		if err == nil {
			c.from = f.String()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, ok := errors.AsType[*diskError](err); ok {
			return err
		}
		faults = append(faults, fmt.Errorf("%s: %w", f, err))
	}
	if len(faults) == 1 {
		return faults[0]
	}
	return fleet.Errorf(fleet.CodeOf(faults[0]), "no depot is left: %w", errors.Join(faults...))
}

// drain asks one folder until nothing is missing, or it brings nothing any more.
// Files that it does not have right are left for the next.
func (c *collecting) drain(ctx context.Context, f Folder, wanted map[Key]string, last bool) error {
	policy := c.Retry
	policy.Attempts = cmp.Or(policy.Attempts, 5)
	bad := map[Key]error{} // here
	for len(wanted) > len(bad) {
		err := retry.Do(ctx, policy, func(ctx context.Context) error {
			brought, err := c.round(ctx, f, wanted, bad)
			switch {
			case err == nil || brought && !hopeless(err):
				return nil // what it brings begins the count anew
			case hopeless(err), errors.Is(err, line.ErrStalled) && !last:
				return retry.Permanent(err)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for k, err := range bad { // one stands for all
		return fleet.Errorf(fleet.CodeOf(err), "%d files are not as the list says, among them %q: %w", len(bad), wanted[k], err)
	}
	return nil
}

// hopeless reports whether asking the same folder again is no use.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*diskError](err); ok {
		return true
	}
	switch fleet.CodeOf(err) {
	case fleet.Internal, fleet.Unavailable, fleet.Locked:
		return false
	}
	return true
}

// slack is how much longer than their content the files may be on the line.
const slack = 64 << 10

// round asks for everything that is missing, some files at once, until all came
// or one failed for another reason than itself. Those that are there are removed
// from wanted. brought says that something has come.
func (c *collecting) round(ctx context.Context, f Folder, wanted map[Key]string, bad map[Key]error) (brought bool, err error) {
	keys := slices.DeleteFunc(slices.SortedFunc(maps.Keys(wanted), func(a, b Key) int { return cmp.Compare(wanted[a], wanted[b]) }),
		func(k Key) bool { return bad[k] != nil })
	most := int64(slack)
	for _, k := range keys {
		most += 2 * k.Size // once more from the start, where the end does not fit
	}
	var came atomic.Int64
	ctx, l := line.New(ctx, line.Options{Limiter: c.Limiter, Idle: c.Idle, Most: most, Count: func(n int) {
		came.Add(int64(n))
		c.note(n)
	}})
	defer l.Stop()
	var mu sync.Mutex
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(Parallel)
	for _, k := range keys {
		if working.Err() != nil {
			break
		}
		g.Go(func() error {
			got, err := c.file(working, f, l, k, wanted[k])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				c.found(k, got, k.name())
				c.note(0)
				brought = true
				return nil
			case errors.Is(err, errWrong), fleet.CodeOf(err) == fleet.NotFound, fleet.CodeOf(err) == fleet.Conflict:
				bad[k] = err
				return nil
			}
			return fmt.Errorf("%q: %w", wanted[k], err)
		})
	}
	err = g.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	for k := range wanted {
		if _, ok := c.known[k]; ok {
			delete(wanted, k)
		}
	}
	return brought || came.Load() > 0, err
}

// file brings one content into Dir. What is there of it is asked to go on; if
// the whole is wrong then, it is fetched once more from its start.
func (c *collecting) file(ctx context.Context, f Folder, l *line.Line, k Key, path string) (content, error) {
	name := filepath.Join(c.Dir, k.name())
	out, err := os.OpenFile(name+incomplete, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return content{}, &diskError{err}
	}
	defer out.Close()
	if err := readable(out); err != nil {
		return content{}, &diskError{err}
	}
	for again := false; ; again = true {
		h := newHashing()
		have, err := begun(out, h, k.Size, again)
		if err != nil {
			return content{}, &diskError{err}
		}
		err = c.rest(ctx, f, l, io.MultiWriter(h, &disk{out}), path, have, k.Size)
		if fleet.CodeOf(err) == fleet.NotHere && have > 0 && !again {
			continue
		}
		if err != nil {
			return content{}, err
		}
		if got, ok := h.is(k); ok {
			if err := errors.Join(out.Close(), os.Rename(name+incomplete, name)); err != nil {
				return content{}, &diskError{err}
			}
			return got, nil
		}
		if have == 0 || c.doubted(k) { // a depot cannot go on like this for ever
			return content{}, errors.Join(errWrong, os.Remove(name+incomplete))
		}
	}
}

// doubted says whether a part of this content had to be thrown away before.
func (c *collecting) doubted(k Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.doubts[k]
	c.doubts[k] = true
	return before
}

// readable gives a part the mode that files of a tree have, whatever the umask.
func readable(f *os.File) error {
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() != 0o644 {
		err = f.Chmod(0o644)
	}
	return err
}

// begun hashes what is there of a part and says how much that is; anew throws it
// away.
func begun(f *os.File, h io.Writer, size int64, anew bool) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	have := info.Size()
	if anew || have > size {
		have = 0
		if err := f.Truncate(0); err != nil {
			return 0, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.CopyN(h, f, have)
	return n, err
}

// rest writes a file from an offset to its end.
func (c *collecting) rest(ctx context.Context, f Folder, l *line.Line, out io.Writer, path string, offset, size int64) error {
	if offset == size {
		return nil
	}
	in := &part{ctx: ctx, folder: f, name: path, offset: offset, length: size - offset, size: size}
	defer in.Close()
	wire := l.Reader(in)
	buf := make([]byte, min(size-offset, block))
	for left := size - offset; left > 0; {
		n, err := wire.Read(buf[:min(left, int64(len(buf)))])
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		if left -= int64(n); err != nil && left > 0 {
			return early(err)
		}
	}
	return nil
}

// disk marks the faults of this machine.
type disk struct{ io.Writer }

func (d *disk) Write(p []byte) (int, error) {
	n, err := d.Writer.Write(p)
	if err != nil {
		err = &diskError{err}
	}
	return n, err
}
