// Package shell runs product scripts: one POSIX/bash script that does the same
// on Linux, Windows and macOS.
//
// The language is interpreted here (mvdan.cc/sh), and the file commands that
// scripts live on are built in and come before the system's: basename cat cp
// dirname env head ln ls mkdir mv rm rmdir sha256sum sleep tail touch, beside
// the interpreter's own (echo, printf, test, cd, read, ...). They take the
// options named at each, and refuse others by name instead of guessing. Paths
// may use slashes everywhere. The caller adds commands of its own, which come
// first of all. A name with a slash, and any other name, is an external
// program: found through the PATH that the script was given, run by
// kit/secureexec in a process group of its own, and dead when the script is.
// Other scripts are taken in by `.`, which works everywhere.
//
// A limit of the interpreter: echo and printf do not notice that the reader of
// their pipe has gone, so `while true; do echo; done | head` runs until the time
// is over. Commands do notice.
//
// It is not a sandbox: a script can do whatever our process may do. What it
// gets is a clean environment, a time limit, and an end that leaves nothing
// running: background jobs end with the script.
package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// maxSource bounds a script, in bytes.
const maxSource = 4 << 20

// ErrTimeout is in the chain of [Run]'s error when Script.Timeout was over.
var ErrTimeout = errors.New("the script did not end within its time")

// Script is what to run, and where.
type Script struct {
	Name   string // stands for the script in messages: a path, usually
	Source io.Reader
	Args   []string // $1, $2, ...
	Dir    string   // working directory, absolute
	Env    []string // "NAME=value"; nothing else is inherited

	// Stdout and Stderr may be the same writer; writes to each never overlap.
	// nil discards. Bound what a script may write with secureexec.NewClip.
	Stdout, Stderr io.Writer

	Commands map[string]Command // the caller's own, by name

	Timeout   time.Duration // of the whole script; 0 is none
	KillGrace time.Duration // between asking an external program to end and killing it
}

// Run runs a script to its end and returns its exit status. The error says that
// it has none: the source does not parse (with file:line:column), ctx ended
// (its cause is in the chain), or time was over ([ErrTimeout]).
func Run(ctx context.Context, s Script) (exit int, err error) {
	file, err := parse(s)
	if err != nil {
		return 0, err
	}
	if !filepath.IsAbs(s.Dir) {
		return 0, fmt.Errorf("cannot run script %s: its folder %q is not absolute", s.Name, s.Dir)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, s.Timeout, ErrTimeout)
		defer stop()
	}
	out := &lockedWriter{w: s.Stdout}
	errOut := out
	if s.Stdout != s.Stderr {
		errOut = &lockedWriter{w: s.Stderr}
	}
	r := &runner{script: s}
	shell, err := interp.New(
		interp.Env(expand.ListEnviron(s.Env...)),
		interp.Dir(s.Dir),
		interp.Params(append([]string{"--"}, s.Args...)...),
		interp.StdIO(nil, out, errOut),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return r.exec }),
	)
	if err != nil {
		return 0, fmt.Errorf("cannot run script %s: %w", s.Name, err)
	}

	err = shell.Run(ctx, file)
	cause := context.Cause(ctx)
	cancel()
	// Background jobs: none starts from here on, and those running are dying.
	r.running.Lock()
	r.running.Unlock()
	out.close()
	errOut.close()

	if cause != nil {
		return 0, fmt.Errorf("cannot finish script %s: %w", s.Name, cause)
	}
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(status), nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot run script %s: %w", s.Name, err)
	}
	return 0, nil
}

// Check parses a script without running it, so that a package with a broken one
// is refused when it is built.
func Check(name string, source io.Reader) error {
	_, err := parse(Script{Name: name, Source: source})
	return err
}

// CheckPOSIX is Check for a script that /bin/sh of another machine will run: what
// only bash knows is refused.
func CheckPOSIX(name string, source io.Reader) error {
	_, err := parse(Script{Name: name, Source: source}, syntax.Variant(syntax.LangPOSIX))
	return err
}

func parse(s Script, options ...syntax.ParserOption) (*syntax.File, error) {
	source, err := io.ReadAll(io.LimitReader(s.Source, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read script %s: %w", s.Name, err)
	}
	if len(source) > maxSource {
		return nil, fmt.Errorf("cannot read script %s: it has more than %d bytes", s.Name, maxSource)
	}
	// Written on Windows, a script has line ends that would become part of
	// every last word.
	source = bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n"))
	file, err := syntax.NewParser(options...).Parse(bytes.NewReader(source), s.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot parse script: %w", err)
	}
	return file, nil
}

// runner executes the simple commands of one script.
type runner struct {
	script Script
	// running is held for reading by every command, so that the end can wait
	// for all of them, also those of background jobs.
	running sync.RWMutex
}

// lockedWriter serialises the writes of concurrent commands and drops what
// comes after the script's end.
type lockedWriter struct {
	mu     sync.Mutex
	w      io.Writer
	closed bool
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, os.ErrClosed
	}
	if l.w == nil {
		return len(p), nil
	}
	return l.w.Write(p)
}

func (l *lockedWriter) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
