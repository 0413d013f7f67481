// Package secureexec runs a child program so that nothing of it escapes its
// caller by accident: not its processes, its time, its output, nor our
// environment.
//
//   - argv only. No shell reads anything here.
//   - The child gets exactly the environment that it is given. What it should
//     inherit is named ([Inherit]) or handed over whole (os.Environ()).
//   - The child is the head of a family: a process group on Unix, a Job Object
//     on Windows. The whole family is killed when time is up, when the context
//     ends, and also when the child itself has ended: a child's work ends with
//     the child. What shall live on belongs to the service manager, or leaves
//     the group by setsid, which this package cannot see and does not stop.
//   - Output is streamed, and bounded: see [Clip].
//   - If our own process is killed outright: on Windows the whole family dies
//     with it (the system closes the job). On Linux the direct child gets
//     SIGKILL (PR_SET_PDEATHSIG); grandchildren are not covered, nor a child
//     that gains privileges on exec, for which the kernel clears the setting:
//     whoever takes our place ends those by [EndLeft], if they have a [Mark].
//     On macOS nothing is covered.
//
// The Linux setting is tied to the thread that started the child, not to the
// process, and Go ends threads when it likes; so each [Run] keeps an operating
// system thread for the life of its child. Many children cost many threads.
//
// [CopyVerified] and [PrivateDir] are for programs that came over the network:
// the bytes that were checked are the bytes that run.
package secureexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// DefaultOutputLimit is what is kept of each output stream, in bytes, when
// [Command] names nothing else.
const DefaultOutputLimit = 1 << 20

// pipeDelay is how long an output pipe may stay open after the child ended:
// only a process that left the family can still hold it.
const pipeDelay = time.Second

// Command says what to run and within which bounds.
type Command struct {
	Argv []string  // Argv[0] is looked up in our PATH if it has no slash
	Path string    // the program's file, if it is not what Argv[0] says
	Dir  string    // working directory; empty is ours
	Env  []string  // "NAME=value"; nil is an empty environment
	In   io.Reader // nil is the null device

	// Out and Err take the output as it comes; nil discards. The same writer
	// may be given twice and is then never used concurrently.
	Out, Err io.Writer
	// OutputLimit bounds what reaches each writer, in bytes; 0 means
	// [DefaultOutputLimit], a negative value no limit.
	OutputLimit int

	Timeout time.Duration // 0 is none
	// KillGrace is the time between asking the family to end (SIGTERM) and
	// killing it; 0 kills at once. Windows has no way to ask.
	KillGrace time.Duration
}

// Result says how a child ended.
type Result struct {
	ExitCode int            // -1 if a signal ended it
	Signal   syscall.Signal // 0 if it ended by itself; never set on Windows
	TimedOut bool           // Timeout was over before the child ended
	Duration time.Duration
	LeftOut  int64 // bytes of output beyond the limit
}

// Failure puts a bad end in words; it is nil for exit code 0 in time.
func (r Result) Failure() error {
	switch {
	case r.TimedOut:
		return fmt.Errorf("did not end within its time, stopped after %v", r.Duration.Round(time.Millisecond))
	case r.Signal != 0:
		return fmt.Errorf("ended by signal %d (%v)", int(r.Signal), r.Signal)
	case r.ExitCode != 0:
		return fmt.Errorf("exit code %d", r.ExitCode)
	}
	return nil
}

// Run runs the command and waits for its end. The error says that it could not
// be run to its end: it did not start, ctx ended, or a writer failed. A child
// that ran and failed, or ran out of time, is no error but a [Result].
func Run(ctx context.Context, c Command) (Result, error) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return Result{}, errors.New("cannot run a command without a name")
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("cannot run %s: %w", c.Argv[0], err)
	}
	var (
		result Result
		err    error
		wg     sync.WaitGroup
	)
	wg.Go(func() {
		runtime.LockOSThread() // see the package comment
		defer runtime.UnlockOSThread()
		result, err = c.run(ctx)
	})
	wg.Wait()
	if err != nil {
		return result, fmt.Errorf("cannot run %s: %w", c.Argv[0], err)
	}
	return result, nil
}

func (c Command) run(ctx context.Context) (Result, error) {
	out, errOut, clips := c.writers()
	build := func() *exec.Cmd {
		cmd := exec.Command(c.Argv[0])
		if c.Path != "" {
			cmd.Path, cmd.Err = c.Path, nil
		}
		cmd.Args = c.Argv
		cmd.Dir = c.Dir
		cmd.Env = append([]string{}, c.Env...) // not nil: that would inherit
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.In, out, errOut
		cmd.WaitDelay = pipeDelay
		return cmd
	}
	began := time.Now()
	cmd, family, err := start(ctx, build)
	if err != nil {
		return Result{}, err
	}

	ended := make(chan struct{})
	var timedOut bool
	var wg sync.WaitGroup
	wg.Go(func() { timedOut = c.watch(ctx, family, ended) })
	err = family.wait(cmd)
	stopped := ctx.Err() != nil
	close(ended)
	wg.Wait()

	result := Result{
		ExitCode: cmd.ProcessState.ExitCode(),
		Signal:   endSignal(cmd.ProcessState),
		TimedOut: timedOut,
		Duration: time.Since(began),
	}
	if _, failed := errors.AsType[*exec.ExitError](err); failed || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	for _, clip := range clips {
		if closeErr := clip.Close(); err == nil {
			err = closeErr
		}
		result.LeftOut += clip.LeftOut()
	}
	if stopped && !timedOut {
		err = context.Cause(ctx)
	}
	return result, err
}

// writers wraps the outputs in their limits. Without a limit the caller's own
// values go through, so that an *os.File reaches the child itself.
func (c Command) writers() (out, errOut io.Writer, clips []*Clip) {
	limit := c.OutputLimit
	if limit == 0 {
		limit = DefaultOutputLimit
	}
	out, errOut = c.Out, c.Err
	if limit < 0 {
		return out, errOut, nil
	}
	if out != nil {
		clip := NewClip(out, limit)
		clips = append(clips, clip)
		if errOut == out {
			return clip, clip, clips
		}
		out = clip
	}
	if errOut != nil {
		clip := NewClip(errOut, limit)
		clips = append(clips, clip)
		errOut = clip
	}
	return out, errOut, clips
}

// start starts the child in a family of its own. A file that was written a
// moment ago may still be open for writing in a child that another goroutine is
// just forking (golang.org/issue/22315); that passes in milliseconds.
func start(ctx context.Context, build func() *exec.Cmd) (*exec.Cmd, *family, error) {
	for delay := time.Millisecond; ; delay *= 2 {
		cmd := build()
		family, err := newFamily(cmd)
		if err != nil {
			return nil, nil, err
		}
		if err = cmd.Start(); err == nil {
			if err = family.adopt(cmd.Process); err == nil {
				return cmd, family, nil
			}
			cmd.Process.Kill()
			cmd.Wait()
		}
		family.end()
		if !errors.Is(err, errTextBusy) || delay > 256*time.Millisecond {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(delay):
		}
	}
}

// watch stops the family when its time is over or ctx ends, and says whether it
// was the time.
func (c Command) watch(ctx context.Context, f *family, ended <-chan struct{}) (timedOut bool) {
	var timeout <-chan time.Time
	if c.Timeout > 0 {
		timer := time.NewTimer(c.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	case <-timeout:
		timedOut = true
	}
	if c.KillGrace > 0 && f.ask() {
		timer := time.NewTimer(c.KillGrace)
		defer timer.Stop()
		select {
		case <-ended:
			return timedOut
		case <-timer.C:
		}
	}
	f.kill()
	return timedOut
}

// Inherit returns those of our environment variables that are named and set, as
// "NAME=value".
func Inherit(names ...string) []string {
	var env []string
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
