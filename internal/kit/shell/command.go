package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/interp"

	"github.com/fernwerk/fernwerk/internal/kit/nearest"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// Command is a built-in command. args does not hold its name. An [Exit] error
// sets the exit status in silence; any other is printed with the script's line
// and gives status 1.
type Command func(ctx context.Context, args []string, io IO) error

// IO is what a command works with.
type IO struct {
	Dir            string   // the script's directory at this moment
	Env            []string // exported variables, "NAME=value", sorted
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	run func(ctx context.Context, args []string, io IO) error // another command
}

// Exit is an error that only means an exit status.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Path makes an argument a path of this system, relative ones taken from the
// script's directory.
func (io IO) Path(arg string) string {
	p := filepath.FromSlash(arg)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(io.Dir, p)
}

// usageError is a wrong call of a built-in: status 2.
type usageError string

func (e usageError) Error() string { return string(e) }

const (
	exitNotFound      = 127 // as POSIX has it
	exitNotExecutable = 126
	exitBrokenPipe    = 141 // 128 + SIGPIPE, what an external program would show
)

// exec is the interpreter's way to run a simple command.
func (r *runner) exec(ctx context.Context, args []string) error {
	r.running.RLock()
	defer r.running.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	hc := interp.HandlerCtx(ctx)
	io := IO{Dir: hc.Dir, Env: exported(hc), Stdin: hc.Stdin, Stdout: hc.Stdout, Stderr: hc.Stderr, run: r.run}
	if hc.Stdin == nil {
		io.Stdin = strings.NewReader("")
	}
	// A built-in that waits for its input is to wake up when the script ends.
	if f, ok := hc.Stdin.(*os.File); ok {
		stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Now()) })
		defer stop()
	}
	err := r.run(ctx, args, io)
	if ctx.Err() != nil {
		return ctx.Err() // ends the script
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return interp.ExitStatus(exitBrokenPipe)
	}
	if status, ok := errors.AsType[Exit](err); ok {
		return interp.ExitStatus(status)
	}
	status := interp.ExitStatus(1)
	if _, ok := errors.AsType[usageError](err); ok {
		status = 2
	}
	fmt.Fprintf(hc.Stderr, "%s:%d: %s: %v\n", r.script.Name, hc.Pos.Line(), args[0], err)
	return status
}

// run finds and runs the command that args name: the caller's, a built-in, an
// external program.
func (r *runner) run(ctx context.Context, args []string, io IO) error {
	if command, ok := r.script.Commands[args[0]]; ok {
		return command(ctx, args[1:], io)
	}
	if command, ok := builtins[args[0]]; ok {
		return command(ctx, args[1:], io)
	}
	return r.external(ctx, args, io)
}

// builtins are the commands of every script; the comment at each says what it
// takes.
var builtins = map[string]Command{
	"basename":  basename,
	"cat":       cat,
	"cp":        cp,
	"dirname":   dirname,
	"env":       env,
	"head":      head,
	"ln":        ln,
	"ls":        ls,
	"mkdir":     mkdir,
	"mv":        mv,
	"rm":        rm,
	"rmdir":     rmdir,
	"sha256sum": sha256sum,
	"sleep":     sleep,
	"tail":      tail,
	"touch":     touch,
}

func (r *runner) external(ctx context.Context, args []string, io IO) error {
	environ := lookup(io.Env)
	if !strings.ContainsAny(args[0], `/\`) && environ.Get("PATH").String() == "" {
		return r.notFound(args[0], io) // no PATH is no place, also not "."
	}
	path, err := interp.LookPathDir(io.Dir, environ, args[0])
	if err != nil {
		return r.notFound(args[0], io)
	}
	result, err := secureexec.Run(ctx, secureexec.Command{
		Argv: args, Path: path, Dir: io.Dir, Env: io.Env,
		In: io.Stdin, Out: io.Stdout, Err: io.Stderr, OutputLimit: -1,
		KillGrace: r.script.KillGrace,
	})
	switch {
	case err != nil && ctx.Err() == nil:
		fmt.Fprintf(io.Stderr, "%s: %v\n", r.script.Name, err)
		return Exit(exitNotExecutable)
	case err != nil:
		return err
	case result.Signal != 0:
		return Exit(128 + int(result.Signal))
	case result.ExitCode != 0:
		return Exit(result.ExitCode & 0xff) // Windows has 32 bits
	}
	return nil
}

func (r *runner) notFound(name string, io IO) error {
	known := slices.Sorted(maps.Keys(builtins))
	known = slices.AppendSeq(known, maps.Keys(r.script.Commands))
	fmt.Fprintf(io.Stderr, "%s: %s: no such command%s\n", r.script.Name, name, nearest.Phrase(name, known))
	return Exit(exitNotFound)
}
