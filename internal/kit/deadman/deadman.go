// Package deadman ends a process that outlives the program that looks after it, when
// nobody looks after it any more.
//
// A program that may go on only while it is allowed to, such as one of several that
// hold something in turn, starts a process that shall survive its own new start. If
// the program dies and does not come back, or hangs, the process would hold what
// another one has by then. So a guard stands beside it, a process of its own: the
// program says again and again until when the process may run ([Allow]), and the
// guard ends it at that time.
//
//	DIR/NAME.until       nanoseconds of the machine's clock, as of its start
//	DIR/NAME.until.lock  held by the guard
//
// The clock is one that nobody sets, and that goes on while the machine sleeps.
package deadman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

const (
	look = time.Second
	// gentle is how long a process has to end by itself.
	gentle = 5 * time.Second
	// formerWithin is how long the guard of a process before takes to notice that it is
	// gone: after that the guard that is there is this process's.
	formerWithin = 5 * time.Second
	maxFile      = 64
)

// Allow lets the process that the file at path stands for run for so long from now.
func Allow(path string, left time.Duration) error {
	at, err := clock()
	if err == nil {
		err = atomicfile.WriteFile(path, []byte(strconv.FormatInt(int64(at+left), 10)+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot say until when a process may run: %w", err)
	}
	return nil
}

// left is how long the process may still run. What cannot be read allows nothing.
func left(path string) time.Duration {
	text, err := os.ReadFile(path)
	if err != nil || len(text) > maxFile {
		return 0
	}
	until, err := strconv.ParseInt(strings.TrimSuffix(string(text), "\n"), 10, 64)
	at, cerr := clock()
	if err != nil || cerr != nil {
		return 0
	}
	return time.Duration(until) - at
}

// Start starts a guard, which is a program with its first arguments, for a process:
// the program calls [Guard] with the two arguments that follow. Of several guards for
// one file one stays.
func Start(guard []string, path string, pid int) error {
	if len(guard) == 0 {
		return nil
	}
	cmd := exec.Command(guard[0], append(guard[1:len(guard):len(guard)], path, strconv.Itoa(pid))...)
	cmd.Env = []string{"GOMEMLIMIT=16MiB", "GOMAXPROCS=1"}
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the guard of process %d: %w", pid, err)
	}
	go cmd.Wait()
	return nil
}

// Guard waits until the process ends, or ends it when it may run no longer. It is
// nil also if another guard is there.
func Guard(ctx context.Context, path string, pid int) error {
	p, err := os.FindProcess(pid) // on Linux another process of this number is another
	if err != nil || !alive(p) {
		return nil
	}
	defer p.Release()
	lock, err := first(ctx, path)
	if err != nil {
		return err
	}
	if lock == nil {
		return nil
	}
	defer lock.Release()
	for alive(p) {
		wait := min(left(path), look)
		if wait <= 0 {
			return End(ctx, p)
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

// first takes the lock; nil is that the process has a guard.
func first(ctx context.Context, path string) (*filelock.Lock, error) {
	for by := time.Now().Add(formerWithin); ; {
		lock, err := filelock.Acquire(path + ".lock")
		if err == nil || !errors.Is(err, filelock.ErrHeld) {
			return lock, err
		}
		if time.Now().After(by) {
			return nil, nil
		}
		if err := pause(ctx, look/4); err != nil {
			return nil, err
		}
	}
}

// End ends a process: first it is asked to.
func End(ctx context.Context, p *os.Process) error {
	if err := p.Signal(syscall.SIGTERM); err == nil {
		for by := time.Now().Add(gentle); alive(p) && time.Now().Before(by); {
			if err := pause(ctx, look/20); err != nil {
				return err
			}
		}
	}
	if !alive(p) {
		return nil
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot end process %d: %w", p.Pid, err)
	}
	return nil
}

func alive(p *os.Process) bool { return p.Signal(syscall.Signal(0)) == nil && !dead(p.Pid) }

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
