// Package engine does work that outlives the process.
//
// What an event asks for is a change; its steps are tasks. Both are rows of the
// agent's database, and each step is written down before and after it is done.
// When the agent is killed, or the machine loses power, the next start goes on
// with the task that was under way: it is told that it was interrupted, and
// decides what that means. A task's outcome and what it did to the cache
// ("result recorded") are one transaction with "task done".
//
// Changes run one at a time, in the order in which they came, as opsi's events
// do. So a handler needs no lock against another.
package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Status of a change or a task.
type Status string

// The statuses.
const (
	Waiting Status = "waiting"
	Doing   Status = "doing"
	Done    Status = "done"
	Failed  Status = "failed"
	Skipped Status = "skipped" // an earlier task failed, or it is left for later
)

// Change is a piece of work that an event asked for.
type Change struct {
	ID      string `col:"id,ident"` // sorts by creation, see nextID
	Event   string `col:"event"`
	Status  Status `col:"status"`
	Created string `col:"created,time"`
	Ended   string `col:"ended,time"`
	Text    string `col:"text"` // what went wrong, or how it ended
}

// Task is one step of a change.
type Task struct {
	Change   string `col:"change,ident,owner=engineChange.id"`
	N        int64  `col:"n,ident"` // order within the change: 1, 2, 3, ...
	Kind     string `col:"kind"`
	Args     string `col:"args"` // the handler's own
	Status   Status `col:"status"`
	Attempts int64  `col:"attempts"`
	Falls    int64  `col:"falls"` // attempts in a row that may have taken the process down
	Started  string `col:"started,time"`
	Ended    string `col:"ended,time"`
	Text     string `col:"text"`
	// Always tasks run although an earlier one failed: results must reach the
	// server also when an installation failed.
	Always bool `col:"always"`
}

// Interrupted tells whether an earlier attempt was cut off.
func (t Task) Interrupted() bool { return t.Attempts > 1 }

// The classes of the package, for [store.Open].
var (
	Changes = fleet.LocalClass[Change]("engineChange")
	Tasks   = fleet.LocalClass[Task]("engineTask")
)

// Step is a task to be.
type Step struct {
	Kind   string
	Args   string
	Always bool
}

// Outcome is what a handler did.
type Outcome struct {
	Text string
	// Commit writes the task's effect on the cache, in the transaction that
	// notes the outcome. It may be nil.
	Commit func(*store.Tx) error
	// Then are steps that come before the change's remaining ones.
	Then []Step
	// Skip says that the task was not done and need not be: what it was for is
	// left for another change.
	Skip bool
	// Err says that the task failed, with Commit still to be done: a failed
	// installation is a result, too.
	Err error
}

// Handler does one kind of task. An error means that the task failed and
// nothing is to be committed. When ctx ends, the handler stops with an error;
// the task waits and is attempted again at the next start. A success counts
// although ctx has ended: a script's last act may be to stop the agent.
type Handler func(ctx context.Context, t Task) (Outcome, error)

// A task that takes the process down each time must not do so for ever: it is
// given up after MaxFalls attempts in a row of which the process did not see
// the end and that began less than soon before the next. An agent that is
// stopped does not count, nor does a laptop that is switched off every evening
// of a long download.
const (
	MaxFalls = 5
	soon     = time.Hour
)

// Engine runs changes.
type Engine struct {
	store    *store.Store
	log      *slog.Logger
	handlers map[string]Handler
	wake     chan struct{}

	// Noted, if set before Serve, is called when a task's outcome was written.
	Noted func()
}

// New makes an engine over the agent's store, with a handler for each kind of
// task.
func New(s *store.Store, log *slog.Logger, handlers map[string]Handler) *Engine {
	return &Engine{store: s, log: log, handlers: handlers, wake: make(chan struct{}, 1)}
}

// origin marks the engine's own bookkeeping; local classes are not journaled.
var origin = store.Origin{Actor: "agent"}

// AddTx adds a change, which runs when those before it have ended. Within a
// task's Commit what follows from the task's success is as durable as the
// success; elsewhere [Engine.Wake] follows the transaction.
func AddTx(tx *store.Tx, event string, steps []Step) (string, error) {
	id, err := nextID(tx)
	if err != nil {
		return "", err
	}
	c := Change{ID: id, Event: event, Status: Waiting, Created: tx.Stamp()}
	if err := tx.Put(Changes, Changes.Encode(c)); err != nil {
		return "", err
	}
	return id, insert(tx, id, 0, steps)
}

// idTime is a change's time, which is its id.
const idTime = "20060102-150405.000000"

// nextID sorts after every change that there is: also after one of the same
// transaction, and when the clock was set back.
func nextID(tx *store.Tx) (string, error) {
	at := tx.Now()
	known, err := tx.Select(Changes, nil)
	if err != nil {
		return "", err
	}
	if len(known) > 0 {
		last := known[len(known)-1].Str("id")
		t, err := time.Parse(idTime, last[:min(len(idTime), len(last))])
		if err != nil {
			return "", fmt.Errorf("cannot add a change after %q: %w", last, err)
		}
		if step := t.Add(time.Microsecond); at.Before(step) {
			at = step
		}
	}
	return at.Format(idTime), nil
}

// insert puts steps behind task number after; those that follow it move on.
func insert(tx *store.Tx, change string, after int64, steps []Step) error {
	if len(steps) == 0 {
		return nil
	}
	tasks, err := TasksOf(tx, change)
	if err != nil {
		return err
	}
	for i := len(tasks) - 1; i >= 0 && tasks[i].N > after; i-- { // the last first: no two ever have one number
		if err := tx.Remove(Tasks, fleet.Row{"change": change, "n": tasks[i].N}); err != nil {
			return err
		}
		tasks[i].N += int64(len(steps))
		if err := tx.Put(Tasks, Tasks.Encode(tasks[i])); err != nil {
			return err
		}
	}
	for i, st := range steps {
		t := Task{Change: change, N: after + int64(i+1), Kind: st.Kind, Args: st.Args, Status: Waiting, Always: st.Always}
		if err := tx.Put(Tasks, Tasks.Encode(t)); err != nil {
			return err
		}
	}
	return nil
}

// Wake makes the engine look for changes that [AddTx] brought.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Serve runs changes until ctx ends; first those that an earlier process left.
func (e *Engine) Serve(ctx context.Context) error {
	worked := false
	for {
		c, err := e.next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("cannot read the work to do: %w", err)
		case c == nil:
			if worked {
				debug.FreeOSMemory() // somebody else works on this machine, and the next event may be hours away
				worked = false
			}
			select {
			case <-e.wake:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if err := e.run(ctx, *c); err != nil {
			return err
		}
		worked = true
	}
}

// next is the oldest change that has not ended.
func (e *Engine) next(ctx context.Context) (*Change, error) {
	var open []Change
	err := e.store.View(ctx, func(tx *store.Tx) error {
		var err error
		open, err = store.All[Change](tx, Changes, fleet.Filter{"status": []string{string(Waiting), string(Doing)}})
		return err
	})
	if err != nil || len(open) == 0 {
		return nil, err
	}
	return &open[0], nil
}

func (e *Engine) run(ctx context.Context, c Change) error {
	if c.Status == Waiting {
		e.log.Info("change starts", "change", c.ID, "event", c.Event)
		c.Status = Doing
		err := e.store.Update(ctx, origin, func(tx *store.Tx) error { return tx.Put(Changes, Changes.Encode(c)) })
		if err != nil {
			return err
		}
	} else {
		e.log.Info("change goes on after an interruption", "change", c.ID, "event", c.Event)
	}
	for {
		t, failed, err := e.nextTask(ctx, c.ID)
		if err != nil {
			return err
		}
		if t == nil {
			return e.end(ctx, c, failed)
		}
		if failed != nil && !t.Always {
			t.Status, t.Text = Skipped, "an earlier task failed"
			if err := e.put(ctx, *t, nil); err != nil {
				return err
			}
			continue
		}
		if err := e.attempt(ctx, *t); err != nil {
			return err
		}
	}
}

// nextTask is the change's first task that has not ended, and the first that
// failed before it.
func (e *Engine) nextTask(ctx context.Context, change string) (next, failed *Task, err error) {
	var tasks []Task
	err = e.store.View(ctx, func(tx *store.Tx) error {
		var err error
		tasks, err = TasksOf(tx, change)
		return err
	})
	for i, t := range tasks {
		switch t.Status {
		case Waiting, Doing:
			return &tasks[i], failed, err
		case Failed:
			if failed == nil {
				failed = &tasks[i]
			}
		}
	}
	return nil, failed, err
}

// attempt does one task: intent before, outcome after.
func (e *Engine) attempt(ctx context.Context, t Task) error {
	fell := t.Status == Doing
	t.Status, t.Attempts = Doing, t.Attempts+1
	err := e.store.Update(ctx, origin, func(tx *store.Tx) error {
		began, err := time.Parse(time.DateTime, t.Started)
		if fell && err == nil && tx.Now().Sub(began) < soon {
			t.Falls++
		} else {
			t.Falls = 0
		}
		t.Started = tx.Stamp()
		return tx.Put(Tasks, Tasks.Encode(t))
	})
	if err != nil {
		return err
	}
	if t.Interrupted() {
		e.log.Warn("task was interrupted, attempt again", "change", t.Change, "kind", t.Kind, "args", t.Args, "attempt", t.Attempts)
	}
	var out Outcome
	handle := e.handlers[t.Kind]
	switch {
	case t.Falls >= MaxFalls:
		err = fmt.Errorf("interrupted %d times: given up", MaxFalls)
	case handle == nil: // a newer agent may have left it
		err = fmt.Errorf("nobody here handles tasks of kind %q", t.Kind)
	default:
		out, err = handle(ctx, t)
	}
	if ctx.Err() != nil && (err != nil || out.Err != nil) {
		t.Status = Waiting // if this cannot be written, the attempt counts as a fall
		e.store.Update(context.WithoutCancel(ctx), origin, func(tx *store.Tx) error { return tx.Put(Tasks, Tasks.Encode(t)) })
		return ctx.Err()
	}
	if err != nil {
		out = Outcome{Err: err}
	}
	t.Status, t.Text = Done, out.Text
	if out.Skip {
		t.Status = Skipped
	}
	if out.Err != nil {
		t.Status, t.Text = Failed, out.Err.Error()
		e.log.Error("task failed", "change", t.Change, "kind", t.Kind, "args", t.Args, "error", out.Err)
	}
	return e.put(ctx, t, func(tx *store.Tx) error {
		if out.Commit != nil {
			if err := out.Commit(tx); err != nil {
				return err
			}
		}
		return insert(tx, t.Change, t.N, out.Then)
	})
}

// put notes a task's end. The outcome is written even if ctx ends meanwhile:
// what was done is done.
func (e *Engine) put(ctx context.Context, t Task, also func(*store.Tx) error) error {
	err := e.store.Update(context.WithoutCancel(ctx), origin, func(tx *store.Tx) error {
		t.Ended = tx.Stamp()
		if err := tx.Put(Tasks, Tasks.Encode(t)); err != nil {
			return err
		}
		if also == nil {
			return nil
		}
		return also(tx)
	})
	if e.Noted != nil {
		e.Noted()
	}
	return err
}

func (e *Engine) end(ctx context.Context, c Change, failed *Task) error {
	c.Status = Done
	if failed != nil {
		c.Status, c.Text = Failed, failed.Kind+": "+failed.Text
	}
	err := e.store.Update(context.WithoutCancel(ctx), origin, func(tx *store.Tx) error {
		c.Ended = tx.Stamp()
		if err := tx.Put(Changes, Changes.Encode(c)); err != nil {
			return err
		}
		return forget(tx)
	})
	if err != nil {
		return err
	}
	e.log.Info("change ended", "change", c.ID, "event", c.Event, "status", c.Status, "text", c.Text)
	return nil
}

// keep is how many ended changes stay for status and the info page.
const keep = 100

func forget(tx *store.Tx) error {
	ended, err := store.All[Change](tx, Changes, fleet.Filter{"status": []string{string(Done), string(Failed)}})
	if err != nil {
		return err
	}
	for i := 0; i < len(ended)-keep; i++ {
		if err := tx.Remove(Changes, fleet.Row{"id": ended[i].ID}); err != nil {
			return err
		}
	}
	return nil
}

// TasksOf lists a change's tasks in order.
func TasksOf(tx *store.Tx, change string) ([]Task, error) {
	tasks, err := store.All[Task](tx, Tasks, fleet.Filter{"change": change})
	if err == nil {
		sortTasks(tasks)
	}
	return tasks, err
}

// Get reads a change and its tasks.
func (e *Engine) Get(ctx context.Context, id string) (c Change, tasks []Task, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Get(Changes, fleet.Row{"id": id})
		if err != nil {
			return err
		}
		Changes.Decode(r, &c)
		tasks, err = TasksOf(tx, id)
		return err
	})
	return c, tasks, err
}

func sortTasks(tasks []Task) {
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(a.N, b.N) })
}
