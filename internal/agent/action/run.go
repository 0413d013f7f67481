package action

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/internal/kit/shell"
)

const (
	killGrace     = 5 * time.Second // for programs to put their things in order; the agent itself has ten to stop
	maxRebootText = 1 << 10
)

// Exit codes of Windows installers for "done, but for a reboot".
const (
	exitRebootRequired  = 3010
	exitRebootInitiated = 1641
)

type perProduct struct{}

// Run runs the product's script for the action.
func (perProduct) Run(ctx context.Context, job Job) (Result, error) {
	began := time.Now()
	job.Timeout = cmp.Or(job.Timeout, DefaultTimeout)
	log := newTranscript(job.Log)
	log.begin(job, began)
	result, err := job.run(ctx, log)
	result.Duration = time.Since(began)
	if ctx.Err() != nil && err != nil {
		log.interrupted(job, result.Duration, context.Cause(ctx))
		return Result{}, fmt.Errorf("cannot finish %s of %s: %w", job.Action, job.Product.ID, err)
	}
	if err != nil {
		result.Status, result.Text = fleet.Failed, err.Error()
		if hint := fleet.HintOf(err); hint != "" {
			result.Text += "; " + hint
		}
	}
	log.end(job, result)
	return result, nil
}

// run gives the script's result, or an error that stands for a failed one.
func (job Job) run(ctx context.Context, log *transcript) (result Result, err error) {
	result = Result{Status: fleet.Failed, ExitCode: -1}
	if err := ctx.Err(); err != nil {
		return result, err
	}
	if job.Attempt > MaxAttempts {
		return result, fleet.WithHint(fmt.Errorf("interrupted %d times: not begun again", MaxAttempts),
			"look into the log for what stops the machine or the agent, then request the action again")
	}
	script, file, err := job.open()
	if err != nil {
		return result, err
	}
	defer file.Close()
	text, err := job.checked(script, file)
	if err != nil {
		return result, err
	}
	temp, err := os.MkdirTemp(job.Temp, "fernwerk-action-")
	if err != nil {
		return result, fmt.Errorf("cannot make a temporary folder: %w", err)
	}
	defer os.RemoveAll(temp) // what a script leaves locked is for the caller's next cleaning

	env, leftOut := job.environment(temp)
	for _, id := range leftOut {
		fmt.Fprintf(log, "[property %s does not fit into the environment: use `property %s`]\n", id, id)
	}
	asked := &requests{properties: job.Properties, product: job.Product.ID, tell: job.Progress}
	if isShell(script) {
		err = job.shell(ctx, script, text, env, asked, log, &result)
	} else {
		file.Close() // Windows programs dislike files that others hold
		err = job.interpret(ctx, script, env, log, &result)
	}
	asked.readFiles(temp)
	switch result.ExitCode {
	case exitRebootRequired:
		asked.reboot(WhenDone, "")
	case exitRebootInitiated:
		asked.reboot(BeforeNext, "")
	}
	result.Reboot, result.RebootText, result.Step = asked.wants, asked.rebootText, asked.step
	return result, err
}

// open finds the script within the product's folder and opens it there.
func (job Job) open() (name string, file *os.File, err error) {
	name = strings.ReplaceAll(job.Product.Script(job.Action), `\`, "/")
	if name == "" {
		return "", nil, fleet.WithHint(fmt.Errorf("%s %s-%s has no script for %s", job.Product.ID, job.Product.ProductVersion, job.Product.PackageVersion, job.Action),
			"cancel the action, or build the package with one")
	}
	if !filepath.IsAbs(job.Dir) {
		return "", nil, fmt.Errorf("cannot open script %s: the product's folder %q is not absolute", name, job.Dir)
	}
	root, err := os.OpenRoot(job.Dir)
	if err != nil {
		return "", nil, fmt.Errorf("cannot open the product's folder: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(name)) // before Open, which waits at a pipe
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, fleet.WithHint(fmt.Errorf("cannot open script %s: the product has no such file", name),
			"build the package again with the file in it")
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("it is no file")
	case err == nil:
		file, err = root.Open(filepath.FromSlash(name))
	}
	if err != nil {
		if inner, ok := errors.AsType[*fs.PathError](err); ok {
			err = inner.Err
		}
		return "", nil, fmt.Errorf("cannot open script %s: %w", name, err)
	}
	return name, file, nil
}

// maxScript is the most bytes of a script.
const maxScript = 16 << 20

// checked reads the script, and compares it with what the manifest says of it: the
// bytes that were checked are those that run.
func (job Job) checked(name string, file io.Reader) (io.Reader, error) {
	text, err := io.ReadAll(io.LimitReader(file, maxScript+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read script %s: %w", name, err)
	case len(text) > maxScript:
		return nil, fmt.Errorf("cannot run script %s: it has more than %d bytes", name, maxScript)
	case job.Content == nil:
		return bytes.NewReader(text), nil
	}
	entry, ok := job.Content.Find(path.Clean(name))
	for range 16 { // links stay within the tree
		if !ok || entry.Type != manifest.Link {
			break
		}
		entry, ok = job.Content.Find(manifest.Resolve(entry.Path, entry.Target))
	}
	if ok && entry.Sum != sha256.Sum256(text) { // by another spelling it is found by the system alone
		return nil, fleet.Errorf(fleet.Denied, "cannot run script %s: it is not the file that was verified", name)
	}
	return bytes.NewReader(text), nil
}

// shell runs the script by the built-in shell.
func (job Job) shell(ctx context.Context, name string, source io.Reader, env []string, asked *requests, log *transcript, result *Result) error {
	exit, err := shell.Run(ctx, shell.Script{
		Name: name, Source: source, Dir: job.Dir, Env: env,
		Stdout: log, Stderr: log, Commands: asked.commands(),
		Timeout: job.Timeout, KillGrace: killGrace,
	})
	if errors.Is(err, shell.ErrTimeout) && ctx.Err() == nil {
		result.TimedOut = true
		return job.late()
	}
	if err != nil {
		return err
	}
	result.settle(exit, log)
	return nil
}

// interpret runs the script by the interpreter for its suffix.
func (job Job) interpret(ctx context.Context, name string, env []string, log *transcript, result *Result) error {
	argv, err := arguments(job.Dir, name)
	if err != nil {
		return err
	}
	r, err := secureexec.Run(ctx, secureexec.Command{
		Argv: argv, Dir: job.Dir, Env: env, Out: log, Err: log, OutputLimit: -1, // the transcript has its own
		Timeout: job.Timeout, KillGrace: killGrace,
	})
	if err != nil {
		return err
	}
	result.ExitCode = r.ExitCode
	if r.TimedOut {
		result.TimedOut = true
		return job.late()
	}
	if r.Signal != 0 {
		return r.Failure()
	}
	result.settle(r.ExitCode, log)
	return nil
}

func (job Job) late() error {
	return fleet.WithHint(fmt.Errorf("did not end within %v, stopped", job.Timeout),
		"find out what the script waits for, or give long work several products")
}

// settle judges an exit code. The last line of output is the best short reason
// that there is for a failure.
func (r *Result) settle(exit int, log *transcript) {
	r.ExitCode = exit
	switch exit {
	case 0, exitRebootRequired, exitRebootInitiated:
		r.Status = fleet.Successful
	default:
		r.Text = fmt.Sprintf("exit code %d", exit)
		if line := log.lastLine(); line != "" {
			r.Text += ": " + line
		}
	}
}
