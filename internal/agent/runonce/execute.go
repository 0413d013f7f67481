package runonce

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/internal/kit/shell"
)

// killGrace is for programs to put their things in order; the agent itself has
// ten seconds to stop.
const killGrace = 5 * time.Second

// errMoved says that an attempt is not to be made any more.
var errMoved = errors.New("the update was decided about meanwhile")

// run makes one attempt: the script is copied and verified, the intent is
// committed, the script runs, the result is committed.
func (r *Runner) run(ctx context.Context, s Step) error {
	if err := r.clear(); err != nil {
		return err
	}
	sum := sha256.Sum256(s.data)
	path, err := secureexec.CopyVerified(r.scripts(), s.Number+suffix(s.file), bytes.NewReader(s.data), update.MaxFile, sum)
	if err != nil {
		return err
	}
	a, err := r.intend(ctx, s, hex.EncodeToString(sum[:]))
	if errors.Is(err, errMoved) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot begin update %s: %w", s.Number, err)
	}
	r.mark(a)
	r.cfg.Log.Info("Update begins", "number", s.Number, "id", s.ID, "attempt", a.N)
	var out bytes.Buffer
	clip := secureexec.NewClip(&out, update.MaxOutput)
	began := time.Now()
	result := r.execute(ctx, s.file, path, a, clip)
	clip.Close() // into memory
	if err := r.conclude(ctx, a, result, strings.ToValidUTF8(out.String(), "?")); err != nil {
		return err
	}
	r.cfg.Log.Info("Update ended", "number", s.Number, "id", s.ID, "state", result.state, "exit", result.exit, "reason", result.reason, "took", time.Since(began))
	return r.clear()
}

// intend commits that an attempt may begin from now on.
func (r *Runner) intend(ctx context.Context, s Step, digest string) (a Attempt, err error) {
	moved := false
	err = r.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		newest, _, err := last(tx)
		if err != nil {
			return err
		}
		before, ran := newest[s.Number]
		if !ran && r.marked(s.Number) {
			a = Attempt{Number: s.Number, N: 1, Key: newKey(), ID: s.file.ID, Digest: digest, OnFailure: s.file.OnFailure, OnInterrupt: s.file.OnInterrupt, Started: tx.Stamp()}
			moved = true
			return put(tx, interrupted(a, tx.Stamp(), "it was begun here before the agent's database was lost"))
		}
		if do, _ := r.stands(before, ran); do != s.Do || ran && before.Digest != digest {
			return errMoved
		}
		a = Attempt{Number: s.Number, N: before.N + 1, Key: newKey(), ID: s.file.ID, Digest: digest, State: string(update.Running),
			OnFailure: s.file.OnFailure, OnInterrupt: s.file.OnInterrupt, Boot: r.cfg.Boot, Started: tx.Stamp()}
		switch {
		case s.Do == Resume:
			a.Reboots = before.Reboots + 1
		case s.Do == Again && before.state() == update.Interrupted:
			a.Reboots, a.Falls = before.Reboots, before.Falls+1
		}
		return put(tx, a)
	})
	if err == nil && moved {
		err = errMoved
	}
	return a, err
}

// mark leaves a word beside the database that an update was begun: whoever moves a
// damaged database away must not have everything run again. Where that cannot be
// written, the database alone has to do.
func (r *Runner) mark(a Attempt) {
	if err := atomicfile.WriteFile(filepath.Join(r.begun(), a.Number), []byte(a.Digest+"\n"), 0o600); err != nil {
		r.cfg.Log.Warn("No mark could be left for an update", "number", a.Number, "error", err)
	}
}

func (r *Runner) marked(number string) bool {
	_, err := os.Stat(filepath.Join(r.begun(), number))
	return err == nil
}

// outcome is how an attempt ended.
type outcome struct {
	state  update.State
	exit   int
	reason string
}

func (r *Runner) execute(ctx context.Context, f *update.File, path string, a Attempt, out *secureexec.Clip) outcome {
	env := r.environment(a)
	if !direct(f) && suffix(f) == ".sh" && windows {
		return r.builtIn(ctx, f, a, env, out)
	}
	argv, err := arguments(f, path)
	if err != nil {
		return outcome{update.Failed, -1, err.Error()}
	}
	result, err := secureexec.Run(ctx, secureexec.Command{Argv: argv, Dir: r.work(), Env: env, Out: out, Err: out, OutputLimit: -1, // out has one
		Timeout: f.Timeout, KillGrace: killGrace})
	return r.judge(ctx, a, result, err)
}

// judge says what an exit means. A success counts although the agent stops: a
// script's last act may be to stop it.
func (r *Runner) judge(ctx context.Context, a Attempt, result secureexec.Result, err error) outcome {
	ended := result.Signal == 0 && !result.TimedOut
	switch {
	case ctx.Err() != nil && (result.Duration == 0 || !ended || result.ExitCode != 0):
		return outcome{update.Interrupted, -1, "the agent was stopped while it was under way"}
	case err != nil && ctx.Err() == nil:
		return outcome{update.Failed, -1, err.Error()}
	case ended && result.ExitCode == update.ExitReboot && a.Reboots >= maxReboots:
		return outcome{update.Failed, result.ExitCode, fmt.Sprintf("it asked for a reboot %d times in a row", maxReboots+1)}
	case ended && result.ExitCode == update.ExitReboot:
		return outcome{update.Rebooting, result.ExitCode, "it goes on after the next boot"}
	}
	if failure := result.Failure(); failure != nil {
		return outcome{update.Failed, result.ExitCode, failure.Error()}
	}
	return outcome{update.Done, 0, ""}
}

// builtIn runs a shell script where the system has no shell.
func (r *Runner) builtIn(ctx context.Context, f *update.File, a Attempt, env []string, out *secureexec.Clip) outcome {
	began := time.Now()
	exit, err := shell.Run(ctx, shell.Script{Name: update.Name(f.Number), Source: bytes.NewReader(f.Bytes()), Dir: r.work(), Env: env,
		Stdout: out, Stderr: out, Timeout: f.Timeout, KillGrace: killGrace})
	result := secureexec.Result{ExitCode: exit, Duration: time.Since(began)}
	if errors.Is(err, shell.ErrTimeout) && ctx.Err() == nil {
		result.TimedOut, result.ExitCode, err = true, -1, nil
	}
	if err != nil {
		result.ExitCode = -1
	}
	return r.judge(ctx, a, result, err)
}

// environment is what a script sees; docs/reference/updates.md has the list.
func (r *Runner) environment(a Attempt) []string {
	env := append(systemEnvironment(r.work()), secureexec.Mark(r.cfg.Dir)...)
	set := func(name, value string) { env = append(env, name+"="+value) }
	for _, name := range []string{"TMPDIR", "TEMP", "TMP", "FERNWERK_TMP"} {
		set(name, r.work())
	}
	set("FERNWERK_HOST_ID", r.cfg.HostID)
	set("FERNWERK_UPDATE", a.Number)
	set("FERNWERK_UPDATE_ID", a.ID)
	set("FERNWERK_UPDATE_ATTEMPT", strconv.FormatInt(a.N, 10))
	set("FERNWERK_UPDATE_INTERRUPTED", strconv.FormatInt(a.Falls, 10))
	set("FERNWERK_UPDATE_REBOOTS", strconv.FormatInt(a.Reboots, 10))
	return env
}

// conclude commits the result. It tries until that goes well or the agent stops:
// an update that ran and is not known to have run would be uncertain.
func (r *Runner) conclude(ctx context.Context, a Attempt, o outcome, output string) error {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := r.cfg.Store.Update(context.WithoutCancel(ctx), origin, func(tx *store.Tx) error {
			a := a
			a.Revision = 1 // as intend wrote it
			a.State, a.Exit, a.Reason, a.Ended = string(o.state), int64(o.exit), clipped(o.reason), tx.Stamp()
			if o.state == update.Interrupted {
				a = interrupted(a, a.Ended, a.Reason)
			}
			if o.state == update.Rebooting && r.cfg.WantsReboot != nil {
				if err := r.cfg.WantsReboot(tx); err != nil {
					return err
				}
			}
			if output != "" {
				if err := tx.Put(outputs, outputs.Encode(Output{Key: a.Key, Text: output})); err != nil {
					return err
				}
			}
			return put(tx, a)
		})
		if err == nil {
			return nil
		}
		r.cfg.Log.Error("The result of an update cannot be written: nothing further runs until it can", "number", a.Number, "state", o.state, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("cannot keep the result of update %s, which is %s: %w", a.Number, o.state, err)
		}
	}
}

func clipped(text string) string {
	if len(text) > update.MaxReason/2 {
		return strings.ToValidUTF8(text[:update.MaxReason/2], "") + " ..."
	}
	return text
}

func systemEnvironment(home string) []string {
	env := secureexec.Inherit("PATH", "HOME", "LANG")
	if windows {
		env = append(env, secureexec.Inherit(ofWindows...)...)
	} else if os.Getenv("PATH") == "" {
		env = append(env, "PATH="+systemPath)
	}
	if os.Getenv("HOME") == "" {
		env = append(env, "HOME="+home)
	}
	return env
}
