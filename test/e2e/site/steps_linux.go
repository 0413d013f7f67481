package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// durable are the system calls after which something is on the disk, or under
// another name.
var durable = map[uint64]string{
	unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2",
}

// Steps runs a program and watches the durable steps that it makes: a step is a
// system call that syncs or renames. strace counts calls for each thread, and a
// Go program has many that do the same work, so this counts for all of them.
type Steps struct {
	// Kill is the step, from 1, at which the program gets SIGKILL: before it is
	// made, or After. 0 lets it run.
	Kill  int
	After bool
	// Fail has the step fail with EIO in place of the kill.
	Fail bool
	Log  string // file that takes what it writes to stderr

	Made []string // the steps, once it has ended
	Met  bool     // the step came

	ended chan struct{}
	pid   int
	err   error
}

// Start starts the program. It is killed when ctx ends.
func (s *Steps) Start(ctx context.Context, env []string, argv ...string) error {
	s.ended = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		defer close(s.ended)
		runtime.LockOSThread() // the thread traces; it ends with the goroutine
		s.err = s.run(ctx, started, env, argv)
	}()
	return <-started
}

// Ended is closed when the program has ended.
func (s *Steps) Ended() <-chan struct{} { return s.ended }

// Stop kills the program and waits for its end; the error is the watching's.
func (s *Steps) Stop() error {
	select {
	case <-s.ended:
	default:
		syscall.Kill(s.pid, syscall.SIGKILL) // it may have ended just now
		<-s.ended
	}
	return s.err
}

const (
	options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	// wnothread waits for what this thread traces, and for no child of another.
	wnothread = 0x20000000
	// sysgood marks a stop at a system call.
	sysgood = syscall.SIGTRAP | 0x80
)

func (s *Steps) run(ctx context.Context, started chan<- error, env, argv []string) error {
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		started <- err
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		started <- err
		return err
	}
	s.pid = cmd.Process.Pid
	var status unix.WaitStatus
	if _, err = unix.Wait4(s.pid, &status, unix.WALL|wnothread, nil); err == nil {
		err = unix.PtraceSetOptions(s.pid, options)
	}
	if err == nil {
		err = unix.PtraceSyscall(s.pid, 0)
	}
	if err != nil {
		cmd.Process.Kill()
		started <- fmt.Errorf("cannot watch %s: %w", argv[0], err)
		return err
	}
	defer context.AfterFunc(ctx, func() { syscall.Kill(s.pid, syscall.SIGKILL) })()
	started <- nil
	return s.watch()
}

// watch follows all threads to the end of the program.
func (s *Steps) watch() error {
	within := map[int]bool{} // threads that make the step at which is killed
	for {
		var status unix.WaitStatus
		thread, err := unix.Wait4(-1, &status, unix.WALL|wnothread, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return err
		case status.Exited() || status.Signaled():
			if thread == s.pid {
				return nil
			}
			continue
		}
		signal := 0
		switch stop := status.StopSignal(); {
		case stop == sysgood:
			if err := s.call(thread, within); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		case stop == syscall.SIGTRAP, stop == syscall.SIGSTOP: // a thread begins, or was begun
		default:
			signal = int(stop)
		}
		if err := unix.PtraceSyscall(thread, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
}

// syscallInfo is the kernel's struct ptrace_syscall_info, as far as it is needed.
type syscallInfo struct {
	op    uint8
	_     [3]uint8
	arch  uint32
	_, _  uint64
	nr    uint64 // at the entry
	args  [6]uint64
	extra [16]byte
}

const (
	getSyscallInfo = 0x420e
	entry, exit    = 1, 2
)

// call acts on a thread that stands before or behind a system call.
func (s *Steps) call(thread int, within map[int]bool) error {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	switch {
	case info.op == exit && within[thread]:
		delete(within, thread)
		return syscall.Kill(s.pid, syscall.SIGKILL)
	case info.op != entry:
		return nil
	}
	name, is := durable[info.nr]
	if !is {
		return nil
	}
	what := ""
	if name == "fsync" || name == "fdatasync" {
		path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", s.pid, int(info.args[0])))
		what = " " + filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
	}
	s.Made = append(s.Made, name+what)
	if len(s.Made) != s.Kill {
		return nil
	}
	s.Met = true
	switch {
	case s.Fail:
		return s.fail(thread)
	case s.After:
		within[thread] = true
		return nil
	}
	return syscall.Kill(s.pid, syscall.SIGKILL)
}
