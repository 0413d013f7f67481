// Package tool runs the programs of a scheduler for its drivers.
//
// A program is an argument vector: no shell reads what a driver writes, so a name
// is never more than a name. Every run has an end: when its time is over it is
// killed with all that it started, and a program that could not be killed (a
// setuid one, for a server that is not root) no longer holds anybody. What it
// prints has a limit. It sees little of the server's environment, and no secrets.
package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	// DefaultLimit is how long one call may take.
	DefaultLimit = 20 * time.Second
	// MaxOutput is what one call may print: 64 MiB are some 80,000 nodes of OAR.
	MaxOutput = 64 << 20
	// tail is how much of a program's complaint goes into an error, twice.
	tail = 300
	// linger is how long a killed program's pipes are waited for.
	linger = time.Second
)

// Runner runs programs.
type Runner struct {
	// Prefix stands before every program: sudo -n -u oar, or what else makes
	// somebody that the scheduler obeys.
	Prefix []string
	// Limit is how long one call may take; 0 is [DefaultLimit].
	Limit time.Duration
	// Observe is told of each call; nil tells nobody.
	Observe func(program string, took time.Duration, err error)
}

// Result is what a program printed.
type Result struct {
	Out, Err []byte
}

// Run runs a program without input.
func (r *Runner) Run(ctx context.Context, argv ...string) (Result, error) {
	return r.Feed(ctx, nil, argv...)
}

// Feed runs a program with input. The result is there also beside an error.
func (r *Runner) Feed(ctx context.Context, input []byte, argv ...string) (res Result, err error) {
	limit := r.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	begun := time.Now()
	if r.Observe != nil {
		defer func() { r.Observe(argv[0], time.Since(begun), err) }()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	full := append(append([]string{}, r.Prefix...), argv...)
	cmd := exec.CommandContext(ctx, full[0], full[1:]...)
	cmd.Stdin = bytes.NewReader(input)
	var out, errs limited
	out.stop, errs.stop = cancel, cancel
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = environment()
	alone(cmd)
	cmd.WaitDelay = linger
	err = cmd.Run()
	res = Result{out.kept.Bytes(), errs.kept.Bytes()}
	switch {
	case err == nil:
		return res, nil
	case errors.Is(err, exec.ErrWaitDelay):
		cmd.Cancel() // what it left behind holds the pipes, so the process group is still there
		err = errors.New("it left something running that holds its output")
	case out.over || errs.over:
		err = fmt.Errorf("it printed more than %d bytes", MaxOutput)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if said := Said(res.Err); said != "" {
		return res, fleet.Errorf(fleet.Unavailable, "cannot run %s: %w: %s", argv[0], err, said)
	}
	return res, fleet.Errorf(fleet.Unavailable, "cannot run %s: %w", argv[0], err)
}

// environment is what a program sees of the server's: what it is found and
// configured by. The rest may hold secrets.
func environment() (env []string) {
	for _, name := range []string{"PATH", "HOME", "TZ", "SLURM_CONF", "SYSTEMROOT"} {
		if value, there := os.LookupEnv(name); there {
			env = append(env, name+"="+value)
		}
	}
	return append(env, "LC_ALL=C")
}

// Said is the beginning and the end of a program's complaint, on one line,
// without characters that a terminal obeys.
func Said(complaint []byte) string {
	text := string(complaint)
	if len(text) > 2*tail {
		text = text[:tail] + " ... " + text[len(text)-tail:]
	}
	text = strings.ToValidUTF8(text, "")
	return strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, text)), " ")
}

// limited keeps what fits, and stops the program with the first byte that does
// not. The buffer is not embedded: its ReadFrom would go round the limit.
type limited struct {
	kept bytes.Buffer
	over bool
	stop func()
}

func (l *limited) Write(p []byte) (int, error) {
	if l.kept.Len()+len(p) > MaxOutput {
		l.over = true
		l.stop()
		return 0, fmt.Errorf("more than %d bytes", MaxOutput)
	}
	return l.kept.Write(p)
}
