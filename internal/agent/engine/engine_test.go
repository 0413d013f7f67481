package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// effect is what a task of these tests does to the database.
type effect struct {
	N    int64  `col:"n,ident"` // order of commitment
	What string `col:"what"`
}

var effects = fleet.LocalClass[effect]("effect")

// leave commits an effect.
func leave(what string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		all, err := tx.Select(effects, nil)
		if err != nil {
			return err
		}
		return tx.Put(effects, effects.Encode(effect{N: int64(len(all)), What: what}))
	}
}

// disk is a database file that outlives the stores over it.
type disk struct {
	path string
	now  func() time.Time
	db   *sqldb.DB // nil after cut
	s    *store.Store
}

func newDisk(t *testing.T) *disk {
	d := &disk{path: filepath.Join(t.TempDir(), "agent.db"), now: time.Now}
	t.Cleanup(d.cut)
	return d
}

// cut is the end of the process, as the database sees it.
func (d *disk) cut() {
	if d.db != nil {
		d.db.Close()
		d.db = nil
	}
}

// open is the process's start.
func (d *disk) open(t fataler) *store.Store {
	t.Helper()
	d.cut()
	var err error
	if d.db, err = sqlite.Open(d.path); err != nil {
		t.Fatal(err)
	}
	if d.s, err = store.Open(context.Background(), d.db, d.now, Changes, Tasks, effects); err != nil {
		t.Fatal(err)
	}
	return d.s
}

// store is the one that is open; after a cut, a new one.
func (d *disk) store(t fataler) *store.Store {
	t.Helper()
	if d.db == nil {
		return d.open(t)
	}
	return d.s
}

// fataler is a *testing.T or *rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func left(t fataler, s *store.Store) (list []string) {
	t.Helper()
	err := s.View(context.Background(), func(tx *store.Tx) error {
		all, err := store.All[effect](tx, effects, nil)
		slices.SortFunc(all, func(a, b effect) int { return int(a.N - b.N) })
		for _, e := range all {
			list = append(list, e.What)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// serve runs an engine until the test or the function returned ends it.
func serve(t *testing.T, e *Engine) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Serve(ctx) }()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { stop() })
	return stop
}

func wait(t *testing.T, e *Engine, id string) (Change, []Task) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, tasks, err := e.Get(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if c.Status == Done || c.Status == Failed {
			return c, tasks
		}
		<-tick.C
	}
}

// fails runs an engine that is to end with an error of its own.
func fails(t *testing.T, e *Engine, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Serve(ctx); !errors.Is(err, want) {
		t.Fatalf("Serve ended with %v, not %v", err, want)
	}
}

func add(t fataler, e *Engine, steps ...Step) (id string) {
	t.Helper()
	err := e.store.Update(context.Background(), origin, func(tx *store.Tx) error {
		var err error
		id, err = AddTx(tx, "event_net_connection", steps)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Wake()
	return id
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// do leaves the task's argument behind; fail does so and fails.
func do(_ context.Context, t Task) (Outcome, error) {
	return Outcome{Text: "did " + t.Args, Commit: leave(t.Args)}, nil
}

func fail(_ context.Context, t Task) (Outcome, error) {
	return Outcome{Commit: leave(t.Args), Err: errors.New("exit code 1")}, nil
}

func breakDown(context.Context, Task) (Outcome, error) {
	return Outcome{}, errors.New("no such folder")
}

// brief is a task without its times.
func brief(tasks []Task) (list []string) {
	for _, t := range tasks {
		list = append(list, strings.TrimRight(fmt.Sprintf("%s %s %s %d %s", t.Kind, t.Args, t.Status, t.Attempts, t.Text), " "))
	}
	return list
}

func TestServe_Order(t *testing.T) {
	s := newDisk(t).open(t)
	e := New(s, quiet(), map[string]Handler{
		"do": do, "fail": fail, "break": breakDown,
		"bring": func(ctx context.Context, t Task) (Outcome, error) {
			return Outcome{Commit: leave(t.Args), Then: []Step{{Kind: "do", Args: t.Args + "1"}, {Kind: "do", Args: t.Args + "2"}}}, nil
		},
		"bring deep": func(ctx context.Context, t Task) (Outcome, error) {
			out := Outcome{Text: "depth " + t.Args, Then: []Step{{Kind: "do", Args: t.Args + "."}}}
			if depth, _ := strconv.Atoi(t.Args); depth > 0 {
				out.Then = append(out.Then, Step{Kind: "bring deep", Args: strconv.Itoa(depth - 1)}, Step{Kind: "do", Args: t.Args + "!"})
			}
			return out, nil
		},
		"leave": func(ctx context.Context, t Task) (Outcome, error) {
			return Outcome{Text: "for later", Skip: true, Commit: leave(t.Args)}, nil
		},
		"bring and fail": func(ctx context.Context, t Task) (Outcome, error) {
			return Outcome{Err: errors.New("no"), Then: []Step{{Kind: "do", Args: "x"}, {Kind: "do", Args: "y", Always: true}}}, nil
		},
	})
	tests := []struct {
		name  string
		steps []Step
		left  []string
		tasks []string
		text  string // of the change; "" is done
	}{
		{"one after the other", []Step{{Kind: "do", Args: "a"}, {Kind: "do", Args: "b"}, {Kind: "do", Args: "c"}},
			[]string{"a", "b", "c"}, []string{"do a done 1 did a", "do b done 1 did b", "do c done 1 did c"}, ""},
		{"nothing to do", nil, nil, nil, ""},
		{"a failure skips the rest", []Step{{Kind: "do", Args: "a"}, {Kind: "fail", Args: "b"}, {Kind: "do", Args: "c"}, {Kind: "fail", Args: "d", Always: true}, {Kind: "do", Args: "e", Always: true}},
			[]string{"a", "b", "d", "e"},
			[]string{"do a done 1 did a", "fail b failed 1 exit code 1", "do c skipped 0 an earlier task failed", "fail d failed 1 exit code 1", "do e done 1 did e"}, "fail: exit code 1"},
		{"an error commits nothing", []Step{{Kind: "break", Args: "a"}, {Kind: "do", Args: "b", Always: true}},
			[]string{"b"}, []string{"break a failed 1 no such folder", "do b done 1 did b"}, "break: no such folder"},
		{"what a task brings comes next", []Step{{Kind: "bring", Args: "a"}, {Kind: "bring", Args: "b"}, {Kind: "do", Args: "c"}},
			[]string{"a", "a1", "a2", "b", "b1", "b2", "c"},
			[]string{"bring a done 1", "do a1 done 1 did a1", "do a2 done 1 did a2", "bring b done 1", "do b1 done 1 did b1", "do b2 done 1 did b2", "do c done 1 did c"}, ""},
		{"what a task brings may bring more", []Step{{Kind: "bring deep", Args: "2"}, {Kind: "do", Args: "z"}},
			[]string{"2.", "1.", "0.", "1!", "2!", "z"},
			[]string{"bring deep 2 done 1 depth 2", "do 2. done 1 did 2.", "bring deep 1 done 1 depth 1", "do 1. done 1 did 1.", "bring deep 0 done 1 depth 0",
				"do 0. done 1 did 0.", "do 1! done 1 did 1!", "do 2! done 1 did 2!", "do z done 1 did z"}, ""},
		{"what is left for later is no failure", []Step{{Kind: "leave", Args: "a"}, {Kind: "do", Args: "b"}},
			[]string{"a", "b"}, []string{"leave a skipped 1 for later", "do b done 1 did b"}, ""},
		{"what a failed task brings is skipped, too", []Step{{Kind: "bring and fail"}},
			[]string{"y"}, []string{"bring and fail  failed 1 no", "do x skipped 0 an earlier task failed", "do y done 1 did y"}, "bring and fail: no"},
	}
	serve(t, e)
	before := 0
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, tasks := wait(t, e, add(t, e, tt.steps...))
			want := Change{Event: "event_net_connection", Status: Done, Text: tt.text}
			if tt.text != "" {
				want.Status = Failed
			}
			if d := cmp.Diff(want, c, cmpopts.IgnoreFields(Change{}, "ID", "Created", "Ended")); d != "" || c.Created == "" || c.Ended == "" {
				t.Errorf("change %+v: %s", c, d)
			}
			if d := cmp.Diff(tt.tasks, brief(tasks)); d != "" {
				t.Error(d)
			}
			all := left(t, s)
			if d := cmp.Diff(tt.left, all[before:], cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
			before = len(all)
		})
	}
}

// A newer agent left a kind of task that this one does not know.
func TestServe_UnknownKindFails(t *testing.T) {
	s := newDisk(t).open(t)
	var id string
	err := s.Update(t.Context(), origin, func(tx *store.Tx) (err error) {
		id, err = AddTx(tx, "x", []Step{{Kind: "dance", Args: "a"}, {Kind: "do", Args: "b", Always: true}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e := New(s, quiet(), map[string]Handler{"do": do})
	serve(t, e)
	c, tasks := wait(t, e, id)
	want := []string{`dance a failed 1 nobody here handles tasks of kind "dance"`, "do b done 1 did b"}
	if d := cmp.Diff(want, brief(tasks)); d != "" || c.Status != Failed {
		t.Errorf("change %+v: %s", c, d)
	}
}

// Changes run in the order in which they came, also when two came within one
// transaction and when the clock was set back between them.
func TestServe_ChangesInOrder(t *testing.T) {
	d := newDisk(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d.now = func() time.Time { return now }
	s := d.open(t)
	var ids, want []string
	for day := range 3 {
		now = now.AddDate(0, 0, -day)
		err := s.Update(t.Context(), origin, func(tx *store.Tx) error {
			for n := range 8 {
				args := fmt.Sprint(day, n)
				id, err := AddTx(tx, "x", []Step{{Kind: "do", Args: args}})
				if err != nil {
					return err
				}
				ids, want = append(ids, id), append(want, args)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	e := New(s, quiet(), map[string]Handler{"do": do})
	serve(t, e)
	wait(t, e, ids[len(ids)-1])
	if d := cmp.Diff(want, left(t, s)); d != "" {
		t.Error(d)
	}
}

// A task's effect and its end are one transaction: if either cannot be
// written, neither is, and the task is attempted again.
func TestServe_FailingCommit(t *testing.T) {
	d := newDisk(t)
	s := d.open(t)
	broken := errors.New("disk full")
	bad := 2
	handlers := map[string]Handler{"do": func(ctx context.Context, task Task) (Outcome, error) {
		return Outcome{Text: "did it", Commit: func(tx *store.Tx) error {
			if err := leave(task.Args)(tx); err != nil {
				return err
			}
			if bad--; bad >= 0 {
				return broken
			}
			return nil
		}, Then: []Step{{Kind: "then"}}}, nil
	}, "then": do}
	e := New(s, quiet(), handlers)
	id := add(t, e, Step{Kind: "do", Args: "a"})
	for attempt := range 2 {
		fails(t, e, broken)
		c, tasks, err := e.Get(t.Context(), id)
		if err != nil || c.Status != Doing {
			t.Fatalf("change %+v, error %v", c, err)
		}
		if d := cmp.Diff([]string{fmt.Sprintf("do a doing %d", attempt+1)}, brief(tasks)); d != "" || left(t, s) != nil {
			t.Fatalf("%s, effects %v", d, left(t, s))
		}
	}
	s = d.open(t)
	e = New(s, quiet(), handlers)
	serve(t, e)
	_, tasks := wait(t, e, id)
	if d := cmp.Diff([]string{"do a done 3 did it", "then  done 1 did"}, brief(tasks)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a", ""}, left(t, s)); d != "" {
		t.Error(d)
	}
}

// What a task adds is as durable as its success, and gone with its failure.
func TestAddTx_IsPartOfTheCommit(t *testing.T) {
	d := newDisk(t)
	s := d.open(t)
	broken := errors.New("disk full")
	bad := 1
	var added []string
	handlers := map[string]Handler{"do": do, "add": func(context.Context, Task) (Outcome, error) {
		return Outcome{Commit: func(tx *store.Tx) error {
			id, err := AddTx(tx, "sync completed", []Step{{Kind: "do", Args: "a"}})
			added = append(added, id)
			if bad--; bad >= 0 {
				return broken
			}
			return err
		}}, nil
	}}
	e := New(s, quiet(), handlers)
	first := add(t, e, Step{Kind: "add"})
	fails(t, e, broken)
	if _, _, err := e.Get(t.Context(), added[0]); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("the change stays although its cause was undone: %v", err)
	}
	s = d.open(t)
	e = New(s, quiet(), handlers)
	stop := serve(t, e)
	wait(t, e, first)
	stop()
	e = New(s, quiet(), handlers)
	serve(t, e)
	if c, tasks := wait(t, e, added[1]); c.Event != "sync completed" || len(tasks) != 1 || tasks[0].Status != Done {
		t.Errorf("change %+v, tasks %v", c, tasks)
	}
}

func TestServe_ResumesAfterAStop(t *testing.T) {
	d := newDisk(t)
	begun := make(chan string, 10)
	handlers := map[string]Handler{"do": do, "slow": func(ctx context.Context, task Task) (Outcome, error) {
		begun <- fmt.Sprint(task.Attempts, task.Interrupted())
		if !task.Interrupted() {
			<-ctx.Done()
			return Outcome{Commit: leave("never")}, ctx.Err()
		}
		return do(ctx, task)
	}}
	s := d.open(t)
	e := New(s, quiet(), handlers)
	stop := serve(t, e)
	id := add(t, e, Step{Kind: "do", Args: "a"}, Step{Kind: "slow", Args: "b"}, Step{Kind: "do", Args: "c"})
	if got := <-begun; got != "1 false" {
		t.Errorf("begun: %s", got)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve ended with %v", err)
	}
	c, tasks, err := e.Get(t.Context(), id)
	if d := cmp.Diff([]string{"do a done 1 did a", "slow b waiting 1", "do c waiting 0"}, brief(tasks)); d != "" || err != nil || c.Status != Doing {
		t.Errorf("change %+v, error %v: %s", c, err, d)
	}

	s = d.open(t)
	e = New(s, quiet(), handlers)
	serve(t, e)
	_, tasks = wait(t, e, id)
	if d := cmp.Diff([]string{"do a done 1 did a", "slow b done 2 did b", "do c done 1 did c"}, brief(tasks)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, left(t, s)); d != "" {
		t.Error(d)
	}
	if got := <-begun; got != "2 true" {
		t.Errorf("begun again: %s", got)
	}
}

// A script whose last act is to stop the agent has succeeded all the same.
func TestServe_SuccessCountsAlthoughStopped(t *testing.T) {
	for _, failed := range []bool{false, true} {
		s := newDisk(t).open(t)
		ctx, cancel := context.WithCancel(t.Context())
		e := New(s, quiet(), map[string]Handler{"do": func(ctx context.Context, task Task) (Outcome, error) {
			cancel()
			if failed {
				return fail(ctx, task) // because it was stopped, or not: nobody knows
			}
			return do(ctx, task)
		}})
		id := add(t, e, Step{Kind: "do", Args: "a"}, Step{Kind: "do", Args: "b"})
		if err := e.Serve(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		want := []string{"do a done 1 did a", "do b waiting 0"}
		if failed {
			want = []string{"do a waiting 1", "do b waiting 0"}
		}
		_, tasks, err := e.Get(t.Context(), id)
		if d := cmp.Diff(want, brief(tasks)); d != "" || err != nil {
			t.Errorf("error %v: %s", err, d)
		}
	}
}

func TestServe_GivesUp(t *testing.T) {
	d := newDisk(t)
	attempts := 0
	var id string
	for start := 0; ; start++ {
		s := d.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		e := New(s, quiet(), map[string]Handler{"do": do, "kill": func(context.Context, Task) (Outcome, error) {
			attempts++
			d.cut()
			cancel()
			return Outcome{}, errors.New("killed")
		}})
		if start == 0 {
			id = add(t, e, Step{Kind: "kill"}, Step{Kind: "do", Args: "a"}, Step{Kind: "do", Args: "b", Always: true})
		}
		if start < MaxFalls {
			if err := e.Serve(ctx); err == nil {
				t.Fatal("Serve ended well")
			}
			continue
		}
		serve(t, e)
		c, tasks := wait(t, e, id)
		cancel()
		want := []string{"kill  failed 6 interrupted 5 times: given up", "do a skipped 0 an earlier task failed", "do b done 1 did b"}
		if d := cmp.Diff(want, brief(tasks)); d != "" || attempts != MaxFalls || c.Text != "kill: interrupted 5 times: given up" {
			t.Errorf("%d attempts, change %+v: %s", attempts, c, d)
		}
		return
	}
}

// What is stopped as often as one likes, or cut off hours after it began, goes
// on; nothing of that is the task's fault.
func TestServe_LongWorkIsNotGivenUp(t *testing.T) {
	for _, way := range []string{"stopped", "cut off hours later"} {
		d := newDisk(t)
		now := time.Now()
		d.now = func() time.Time { return now }
		id := ""
		for start := range 3 * MaxFalls {
			s := d.open(t)
			ctx, cancel := context.WithCancel(t.Context())
			e := New(s, quiet(), map[string]Handler{"load": func(ctx context.Context, task Task) (Outcome, error) {
				if way != "stopped" {
					now = now.Add(soon)
					d.cut()
				}
				cancel()
				return Outcome{}, ctx.Err()
			}})
			if start == 0 {
				id = add(t, e, Step{Kind: "load"})
			}
			if err := e.Serve(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		s := d.open(t)
		e := New(s, quiet(), map[string]Handler{"load": do})
		serve(t, e)
		_, tasks := wait(t, e, id)
		if d := cmp.Diff([]string{fmt.Sprintf("load  done %d did", 3*MaxFalls+1)}, brief(tasks)); d != "" {
			t.Errorf("%s: %s", way, d)
		}
	}
}

func TestServe_KeepsAHundredChanges(t *testing.T) {
	s := newDisk(t).open(t)
	e := New(s, quiet(), map[string]Handler{"do": func(context.Context, Task) (Outcome, error) { return Outcome{}, nil }})
	var ids []string
	err := s.Update(t.Context(), origin, func(tx *store.Tx) error {
		for range keep + 7 {
			id, err := AddTx(tx, "x", []Step{{Kind: "do"}, {Kind: "do"}})
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, e)
	wait(t, e, ids[len(ids)-1])
	err = s.View(t.Context(), func(tx *store.Tx) error {
		changes, err := store.All[Change](tx, Changes, nil)
		if err != nil {
			return err
		}
		tasks, err := tx.Select(Tasks, nil)
		if len(changes) != keep || len(tasks) != 2*keep || changes[0].ID != ids[7] {
			t.Errorf("%d changes with %d tasks, the oldest is %s, not %s", len(changes), len(tasks), changes[0].ID, ids[7])
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
