package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// ErrInterrupted is the cause of the context that [Main] hands out once the
// first signal has come.
var ErrInterrupted = errors.New("interrupted")

// Main runs f as the whole program and exits. SIGINT and SIGTERM (Ctrl-C and
// Ctrl-Break on Windows) end f's context once; a second one exits at once with
// 1. f's error becomes the exit code, "error: ..." and, where the error has
// one, "hint: ..." on stderr. nil is 0.
//
// The exit code is that of the first error in the chain with a method
// ExitCode() int, else 1; the hint is that of the first with Hint() string.
func Main(f func(ctx context.Context) error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(serve(f, signals, os.Stderr, os.Exit))
}

// serve is Main with its surroundings handed in.
func serve(f func(context.Context) error, signals <-chan os.Signal, stderr io.Writer, exit func(int)) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-finished:
				return
			case <-signals:
				if n > 0 {
					fmt.Fprintln(stderr, "error: interrupted twice, not waiting any longer")
					exit(1)
					return
				}
				cancel(ErrInterrupted)
			}
		}
	}()
	err := f(ctx)
	if errors.Is(err, context.Canceled) && context.Cause(ctx) == ErrInterrupted {
		// "context canceled" means nothing to the person who pressed Ctrl-C.
		err = ErrInterrupted
	}
	return Report(stderr, err)
}

// Report writes err as people should see it and returns its exit code; see
// [Main] for the rules. nil writes nothing and is 0.
func Report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "error:", inert(err.Error()))
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		fmt.Fprintln(stderr, "hint:", inert(h.Hint()))
	}
	return exitCode(err)
}

// inert makes a text of several lines safe to print: a server's words may be in it.
func inert(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = term.Clean(line)
	}
	return strings.Join(lines, "\n")
}

func exitCode(err error) int {
	coder, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err)
	if !ok {
		return 1
	}
	// A child's status is not ours, though os/exec happens to use the same
	// method name.
	if _, child := coder.(*exec.ExitError); child {
		return 1
	}
	if code := coder.ExitCode(); code != 0 {
		return code
	}
	return 1 // an error is never a success
}
