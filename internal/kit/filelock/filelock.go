// Package filelock keeps a data folder to one process: two servers or two agents
// on one database would destroy each other's work.
//
// The lock is the operating system's (flock, LockFileEx) and ends with the
// process, however it ends: a lock file that was left behind locks nothing. The
// file is never removed, because removing it would let two processes lock two
// files of one name.
//
// The file holds a blank line and then the process id of who locked it last. It
// serves the message only. The blank comes first because Windows forbids others
// to read the first byte, which is the locked one.
//
// Network file systems may keep locks on each machine alone; a data folder
// belongs on a local disk.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrHeld says that another process, or this one, holds the lock.
var ErrHeld = errors.New("lock is held")

// HeldError is the error of Acquire that is ErrHeld.
type HeldError struct {
	Path string
	PID  int // of the holder; 0 if it has not written it yet
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("cannot lock %s: in use by another process", e.Path)
	}
	return fmt.Sprintf("cannot lock %s: in use by process %d", e.Path, e.PID)
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Lock is a held lock.
type Lock struct{ flock *flock.Flock }

// Acquire takes the lock of the file at once or fails; it does not wait. The
// file is made if it is missing, its folder must exist. A lock that is held
// gives a *HeldError.
func Acquire(path string) (*Lock, error) {
	f := flock.New(path, flock.SetPermissions(0o600))
	locked, err := f.TryLock()
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	if !locked {
		return nil, &HeldError{Path: path, PID: holder(path)}
	}
	if err := note(path); err != nil {
		f.Unlock()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return &Lock{flock: f}, nil
}

// awaits is how long Await waits between two tries.
const awaits = 20 * time.Millisecond

// Await is Acquire, and waits for a holder that has the lock for moments only. One
// that has it still after patience gives a *HeldError.
func Await(ctx context.Context, path string, patience time.Duration) (*Lock, error) {
	for late := time.Now().Add(patience); ; {
		lock, err := Acquire(path)
		if !errors.Is(err, ErrHeld) || time.Now().After(late) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(awaits):
		}
	}
}

// Release gives the lock back. The file stays.
func (l *Lock) Release() error {
	if err := l.flock.Unlock(); err != nil {
		return fmt.Errorf("cannot unlock %s: %w", l.flock.Path(), err)
	}
	return nil
}

// start is where the process id begins: behind the locked byte.
const start = 1

// note writes this process's id. A later, shorter id must not keep digits of an
// earlier one, and cutting the file would touch the locked byte, so the number
// is padded.
func note(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), start); err != nil {
		return err
	}
	return f.Close()
}

// holder reads the id, 0 if there is none.
func holder(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	buf := make([]byte, 32)
	n, err := f.ReadAt(buf, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
