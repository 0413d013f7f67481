// Package transfer makes a folder equal to a tree, from what is there already,
// from other copies on this machine, and for the rest from a depot. The agent's
// product cache and the copy of one depot to another are made with it.
//
// # How
//
// [Sync] fills a staging folder:
//
//  1. What is in it and right is kept, chunk by chunk: everything is hashed, no
//     note of an earlier run is believed. What does not belong there is removed.
//  2. Files and chunks that a [Seed] has (the published copy of the version
//     before, mostly) are taken from there, hashed as well.
//  3. One request names all chunks that are still missing, one stream brings
//     them. After a cut the next request names what had not arrived; a cut costs
//     at most the chunk that was under way. A source that does not bring
//     anything any more is left for the next one.
//
// Every chunk is checked by its sum before it is written and every file by the
// manifest's SHA-256 when it is complete, so neither a source nor the unsigned
// chunk lists can put a wrong byte into a finished tree. No file grows beyond
// its size in the manifest, and an answer beyond what can be needed ends.
//
// When Sync returns without error the tree is complete, checked and durable,
// and [Publish] puts it in place. After any error the staging folder stays, and
// the next Sync goes on from there.
//
// # Limits
//
// A stream is unpacked within 8 MiB; a file is written once, plus read once if
// its chunks did not come in order. One staging folder belongs to one Sync at a
// time; who calls sees to that.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

// Source is a depot that can be asked for chunks.
type Source interface {
	// Chunks returns the content of the wanted chunks, in order and with nothing
	// in between. A source reads its connection through wire, which counts,
	// limits the rate and ends what stalls. fresh asks it to distrust whatever
	// cache it has, after something wrong came from it. Reading fails with the
	// source's own error where it has one; a coded one that is not
	// fleet.Unavailable or fleet.Internal says that asking again is no use.
	Chunks(ctx context.Context, q chunkindex.Request, wire func(io.Reader) io.Reader, fresh bool) (io.ReadCloser, error)
}

// Seed is a folder on this machine with the index that it was made by. It is
// only read, and what is taken is checked; it need not be complete.
type Seed struct {
	Dir   string
	Index *chunkindex.Index
	// Disposable allows hard links to its files instead of copies. Only for a
	// folder that is thrown away once the new tree is in place: until then both
	// have the same files.
	Disposable bool
}

// Job says what to make of what.
type Job struct {
	Stage   string // the folder to fill; made when it is missing
	Index   *chunkindex.Index
	Seeds   []Seed
	Sources []Source // asked one after the other; none is fine if nothing is missing

	Limiter *throttle.Limiter // of bytes on the line; nil is unlimited
	// Retry is how often a source may fail without bringing anything; what it
	// brings begins the count anew. 0 attempts means 5.
	Retry retry.Policy
	// Idle is how long a source may take for the next KiB on the line, or for
	// beginning to answer; waiting for the Limiter does not count. 0 means a
	// minute.
	Idle time.Duration
	// CopyLinks replaces links by copies of what they lead to (seed A: on
	// Windows). It is always on where the system is Windows.
	CopyLinks bool
	// Progress is called often, by one goroutine at a time; it must be quick.
	Progress func(Progress)
}

// Progress is how far a Sync has come. Bytes are content; WireBytes is what came
// over the line for it.
type Progress struct {
	FilesDone, FilesTotal int
	BytesDone, BytesTotal int64
	WireBytes             int64
}

// Result says where the content came from, in bytes.
type Result struct {
	Kept     int64 // was in the staging folder
	Seeded   int64 // came from seeds, or from a second place in the tree
	Fetched  int64 // came from sources, unpacked; includes what was thrown away
	Wire     int64 // came over the line for that
	Requests int
}

// maxCopied bounds the entries of a tree whose links are replaced by copies.
const maxCopied = 1_000_000

// Sync fills the staging folder; see the package comment. The error's code is
// fleet.Conflict if a source has another tree meanwhile: fetch its index again.
func Sync(ctx context.Context, job Job) (Result, error) {
	s := &syncing{Job: job, x: job.Index, tree: job.Index.Digest}
	err := s.run(ctx)
	s.result.Wire = s.wire.Load()
	if err != nil {
		err = fmt.Errorf("cannot fill %q: %w", job.Stage, err)
		if errors.Is(err, syscall.ENOSPC) {
			err = fleet.WithHint(err, "make room on the disk; what has arrived is kept")
		}
	}
	return s.result, err
}

func (s *syncing) run(ctx context.Context) error {
	if runtime.GOOS == "windows" {
		if faults := s.x.Tree.Portable(); len(faults) > 0 {
			return fleet.Errorf(fleet.Invalid, "Windows cannot hold the tree: %w", errors.Join(faults...))
		}
		s.CopyLinks = true
	}
	var err error
	if s.CopyLinks {
		if s.x, err = s.x.WithoutLinks(maxCopied); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.Stage, 0o755); err != nil {
		return err
	}
	if s.root, err = os.OpenRoot(s.Stage); err != nil {
		return err
	}
	defer s.root.Close()
	defer s.close()
	defer s.small.group.Wait()
	defer s.folders.Wait()
	s.begin()
	for _, step := range []func(context.Context) error{s.keep, s.takeFiles, s.plan, s.takeChunks, s.fetch, s.rest} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := s.close(); err != nil {
		return err
	}
	if err := atomicfile.SyncTree(s.Stage); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(s.Stage))
}
