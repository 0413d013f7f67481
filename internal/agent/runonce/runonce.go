// Package runonce runs updates once: scripts that were signed off line and that
// the server publishes by number.
//
// It asks the server at the agent's start and from a timer, with a conditional
// request that costs one small round trip when nothing is new. What is offered is
// verified against the signed targets, and run in the order of the numbers.
//
// # Exactly once
//
// Before a script starts, an [Attempt] in the state running is committed to
// agent.db (SQLite, synchronous FULL: the commit has been fsynced); when it has
// ended, its result is committed. An attempt that is found running at a start of
// the agent was cut off somewhere between the two: it may have run not at all, in
// part, or whole. That is not guessed at, but reported as interrupted, and the
// update's own policy says what follows: begin it again, leave it, or ask a
// person. So a script runs once, or somebody is told. What the script started and is
// still there, because the agent was killed, is ended first.
//
// Besides, a file in the folder begun says that an update was begun, so that a
// database that was lost has nothing run again without a word.
//
// If the result cannot be written, because the disk is full, say, nothing further
// runs until it can be.
//
// # Order
//
// An update waits for those that it comes after to be done, or skipped. It also
// waits for every offered one with a smaller number that failed and says stop, is
// interrupted and wants to be asked about, waits for a boot, or cannot be had.
//
// # What runs
//
// The bytes whose SHA-256 was signed are copied into a folder that only the agent
// can enter, hashed while they are written, and executed from there, in a process
// group of their own, for no longer than the header says. A number whose content
// changed after it had run does not run again: that is reported, and a corrected
// update gets a new number.
//
// A host whose policy is plain-opsi trusts nobody's signature, and runs nothing.
package runonce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// Trust is the verified content of updates, by [update.Target].
type Trust interface {
	// Refresh fetches newer signed documents.
	Refresh(ctx context.Context) error
	// Digest is the SHA-256 under which a name is signed now.
	Digest(name string) (sum [32]byte, ok bool)
	// Content fetches and verifies.
	Content(ctx context.Context, name string) ([]byte, error)
}

// Server is who publishes and is told.
type Server interface {
	// Ask returns what is offered, nil if that is what etag stands for.
	Ask(ctx context.Context, etag string) (offer *update.Offer, newTag string, err error)
	Report(ctx context.Context, r update.Report) error
}

// Store is agent.db; see [store.Store].
type Store interface {
	View(ctx context.Context, fn func(*store.Tx) error) error
	Update(ctx context.Context, o store.Origin, fn func(*store.Tx) error) error
}

// Timing is when the server is asked.
type Timing struct {
	Interval time.Duration // 0: at the start only
	Spread   time.Duration // up to so much later, drawn each time
}

// Config is what a Runner needs.
type Config struct {
	Store    Store
	Dir      string // the private folder that scripts run in
	HostID   string
	Boot     string // changes with every boot
	Platform string // linux, macos, windows
	NodeType string // that the machine joined as, "" for none
	Trust    Trust
	// Refused is why nothing is run here, now; nil runs what is offered.
	Refused func() error
	Server  Server
	// Alone runs fn while nothing else is installed.
	Alone  func(ctx context.Context, fn func() error) error
	Timing func(context.Context) (Timing, error)
	// WantsReboot notes that a reboot is wanted, in the transaction that says so.
	WantsReboot func(tx *store.Tx) error
	Log         *slog.Logger
}

// Runner runs updates.
type Runner struct {
	cfg  Config
	wake chan struct{}
}

// New makes a Runner; [Runner.Serve] works.
func New(cfg Config) *Runner { return &Runner{cfg: cfg, wake: make(chan struct{}, 1)} }

var origin = store.Origin{Actor: "agent"}

// Wake has the server asked now.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Now is Wake for a person, who is told if that is of no use.
func (r *Runner) Now() error {
	if err := r.refused(); err != nil {
		return err
	}
	r.Wake()
	return nil
}

// refused is an error where no updates are run.
func (r *Runner) refused() error {
	if r.cfg.Refused == nil {
		return nil
	}
	if err := r.cfg.Refused(); err != nil {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "no updates are run here: %w", err), "%s", cmp.Or(fleet.HintOf(err), "what nobody signed is never run"))
	}
	return nil
}

const (
	firstSpread = time.Minute // a fleet that is switched on in the morning
	soonest     = 15 * time.Second
	latest      = 10 * time.Minute
)

// Serve works until ctx ends.
func (r *Runner) Serve(ctx context.Context) error {
	if err := r.endLeft(ctx); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.clear(); err != nil {
		return err
	}
	t, err := r.cfg.Timing(ctx)
	if err != nil {
		return err
	}
	if err := r.refused(); err != nil {
		r.cfg.Log.Info(err.Error())
	}
	wait, failures := r.first(ctx, t), 0
	for {
		if err := r.pause(ctx, wait); err != nil {
			return err
		}
		err := r.Round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t, timing := r.cfg.Timing(ctx); timing != nil {
			err = errors.Join(err, timing)
		} else if wait = t.Interval + drawn(t.Spread); t.Interval == 0 {
			wait = -1
		}
		if err == nil {
			failures = 0
			continue
		}
		r.cfg.Log.Warn("Updates are not up to date", "error", err)
		if retry := min(soonest<<min(failures, 10), latest); wait < 0 || retry < wait {
			wait = retry/2 + drawn(retry/2)
		}
		failures++
	}
}

// endLeft ends what scripts of a killed agent are left, so that none runs beside its own
// second attempt. It comes before everything else: what cannot be ended is not known to
// have been cut off.
func (r *Runner) endLeft(ctx context.Context) error {
	n, err := secureexec.EndLeft(ctx, r.cfg.Dir)
	if n > 0 {
		r.cfg.Log.Warn("Processes of an update were ended, which an agent that was killed had left", "processes", n)
	}
	return err
}

// first is how long to wait at the start: not at all for a machine that no server has
// offered anything yet. It has just joined, and whoever joined it looks on.
func (r *Runner) first(ctx context.Context, t Timing) time.Duration {
	if kept, err := r.kept(ctx); err == nil && kept.Name == "" {
		return 0
	}
	return drawn(min(t.Spread, firstSpread))
}

// drawn is a random part of a time.
func drawn(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}

// pause waits; less than nothing is until it is woken.
func (r *Runner) pause(ctx context.Context, wait time.Duration) error {
	var over <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-r.wake:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Round asks once, runs what is to be run, and reports. Its error says that
// something is left that may go well at another time.
func (r *Runner) Round(ctx context.Context) error {
	if err := r.refused(); err != nil {
		return r.report(ctx) // of what ran before
	}
	asked := r.ask(ctx)
	if fleet.CodeOf(asked) == fleet.NotFound { // a server of before, or plain opsi
		return nil
	}
	var errs []error
	for ctx.Err() == nil {
		steps, err := r.Plan(ctx)
		if err != nil {
			errs = append(errs, err)
			break
		}
		step := next(steps)
		if step == nil {
			for _, s := range steps {
				if s.Err != nil {
					errs = append(errs, s.Err)
				}
			}
			break
		}
		if err := r.alone(ctx, func() error { return r.run(ctx, *step) }); err != nil {
			errs = append(errs, err)
			break
		}
		if err := r.report(ctx); err != nil {
			r.cfg.Log.Info("A report waits", "error", err)
		}
	}
	return errors.Join(append(errs, asked, r.report(ctx))...)
}

func (r *Runner) alone(ctx context.Context, fn func() error) error {
	if r.cfg.Alone == nil {
		return fn()
	}
	return r.cfg.Alone(ctx, fn)
}

// scripts is the folder that a script is copied into, work the one that it runs in;
// begun has a file for each update that was begun.
func (r *Runner) scripts() string { return filepath.Join(r.cfg.Dir, "script") }
func (r *Runner) work() string    { return filepath.Join(r.cfg.Dir, "work") }
func (r *Runner) begun() string   { return filepath.Join(r.cfg.Dir, "begun") }

// clear removes what an earlier attempt left, and makes the folders anew.
func (r *Runner) clear() error {
	if err := secureexec.PrivateDir(r.cfg.Dir); err != nil {
		return err
	}
	for _, dir := range []string{r.scripts(), r.work()} {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
			return fmt.Errorf("cannot clear the folder of updates: %w", err)
		}
	}
	return secureexec.PrivateDir(r.begun())
}

// ask gets what is offered, keeps it, and refreshes the signed documents if it is
// new, or was never found among them.
func (r *Runner) ask(ctx context.Context) error {
	kept, err := r.kept(ctx)
	if err != nil {
		return err
	}
	offer, tag, err := r.cfg.Server.Ask(ctx, kept.Tag)
	if err != nil {
		return fmt.Errorf("cannot ask for updates: %w", err)
	}
	if offer == nil {
		if r.missing(kept.Numbers) {
			return r.refresh(ctx)
		}
		return nil
	}
	if err := r.refresh(ctx); err != nil {
		return err // the tag is not kept: the offer comes again
	}
	return r.keep(ctx, *offer, tag)
}

func (r *Runner) refresh(ctx context.Context) error {
	if err := r.cfg.Trust.Refresh(ctx); err != nil {
		return fmt.Errorf("cannot verify updates: %w", err)
	}
	return nil
}

func (r *Runner) missing(numbers []string) bool {
	for _, n := range numbers {
		if number, err := update.Number(n); err == nil {
			if _, ok := r.cfg.Trust.Digest(update.Target(number)); !ok {
				return true
			}
		}
	}
	return false
}
