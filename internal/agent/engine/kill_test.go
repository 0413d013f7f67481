package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// The ways in which an attempt is cut off.
const (
	killBefore = iota // the machine loses power before the task did anything
	killCommit        // ... when all is done, and the transaction does not make it
	stopped           // the agent is stopped, and the handler with it
	ways
)

// planned is a task and its fate.
type planned struct {
	name   string
	does   string // "do", "fail" or "break", as the handlers of that name
	always bool
	kills  []int     // ways, one an attempt
	after  bool      // power is lost right after the end is written
	then   []planned // what it brings
}

func drawTask(t *rapid.T, name string, deep bool) planned {
	p := planned{
		name:   name,
		does:   rapid.SampledFrom([]string{"do", "do", "do", "fail", "break"}).Draw(t, name),
		always: rapid.Bool().Draw(t, name+" always"),
		after:  rapid.Bool().Draw(t, name+" after"),
	}
	most := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, MaxFalls - 1, MaxFalls + 1}).Draw(t, name+" most kills")
	p.kills = rapid.SliceOfN(rapid.IntRange(0, ways-1), 0, most).Draw(t, name+" kills")
	if deep && p.does != "break" {
		for i := range rapid.IntRange(0, 2).Draw(t, name+" brings") {
			p.then = append(p.then, drawTask(t, fmt.Sprintf("%s.%d", name, i), false))
		}
	}
	return p
}

func toSteps(tasks []planned) (list []Step) {
	for _, p := range tasks {
		list = append(list, Step{Kind: "task", Args: p.name, Always: p.always})
	}
	return list
}

// model says what is left of a change's tasks in the end.
func model(tasks []planned) (effects, statuses []string) {
	failed := false
	for queue := slices.Clone(tasks); len(queue) > 0; {
		p := queue[0]
		queue = queue[1:]
		status, attempts := Done, len(p.kills)+1
		switch {
		case failed && !p.always:
			status, attempts = Skipped, 0
		case givenUp(p.kills) > 0:
			status, attempts = Failed, givenUp(p.kills)
		default:
			if p.does != "do" {
				status = Failed
			}
			if p.does != "break" {
				effects = append(effects, p.name)
			}
			queue = slices.Concat(p.then, queue)
		}
		failed = failed || status == Failed
		statuses = append(statuses, fmt.Sprintf("%s %s %d", p.name, status, attempts))
	}
	return effects, statuses
}

// givenUp is the attempt that is not made any more, 0 if there is none.
func givenUp(kills []int) int {
	falls := 0
	for i, k := range kills {
		if falls++; k == stopped {
			falls = 0
		}
		if falls == MaxFalls {
			return i + 2
		}
	}
	return 0
}

// power is one life of the agent; fates are shared by all of them.
type power struct {
	disk   *disk
	cancel context.CancelFunc
	fates  map[string]planned
	begun  map[string]int // attempts that reached the handler
}

func (w power) off() {
	w.cancel()
	w.disk.cut()
}

var errKilled = errors.New("killed")

func (w power) handle(ctx context.Context, task Task) (Outcome, error) {
	p := w.fates[task.Args]
	w.begun[p.name]++
	kill := ways
	if n := int(task.Attempts) - 1; n < len(p.kills) {
		kill = p.kills[n]
	}
	switch kill {
	case killBefore:
		w.off()
		return Outcome{}, errKilled
	case stopped:
		w.cancel()
		return Outcome{}, ctx.Err()
	}
	if p.does == "break" {
		if kill == killCommit {
			w.off()
		}
		return Outcome{}, errors.New("broken")
	}
	out := Outcome{Then: toSteps(p.then), Commit: func(tx *store.Tx) error {
		err := leave(p.name)(tx)
		if kill == killCommit {
			w.cancel()
			return errKilled
		}
		if p.after {
			w.cancel()
		}
		return err
	}}
	if p.does == "fail" {
		out.Err = errors.New("failed")
	}
	return out, nil
}

// Whatever is planned, and wherever the agent is killed or stopped: in the end
// the effects are exactly the plan's, in its order, each committed once.
func TestServe_KilledAnywhere(t *testing.T) {
	tmp := t.TempDir()
	empty := &disk{path: filepath.Join(tmp, "empty.db"), now: time.Now}
	empty.open(t)
	empty.cut()
	template, err := os.ReadFile(empty.path)
	if err != nil {
		t.Fatal(err)
	}
	lives := 0
	rapid.Check(t, func(t *rapid.T) {
		d := &disk{path: filepath.Join(tmp, "agent.db"), now: time.Now}
		for _, suffix := range []string{"-wal", "-shm"} {
			os.Remove(d.path + suffix)
		}
		if err := os.WriteFile(d.path, template, 0o600); err != nil {
			t.Fatal(err)
		}
		defer d.cut()
		w := power{disk: d, fates: map[string]planned{}, begun: map[string]int{}}
		var changes [][]planned
		for c := range rapid.IntRange(1, 2).Draw(t, "changes") {
			var tasks []planned
			for i := range rapid.IntRange(0, 4).Draw(t, "tasks") {
				p := drawTask(t, fmt.Sprintf("%d.%d", c, i), true)
				tasks = append(tasks, p)
				for _, p := range append(p.then, p) {
					w.fates[p.name] = p
				}
			}
			changes = append(changes, tasks)
		}

		var ids []string
		ended := false
		life := func() {
			lives++
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w.cancel = cancel
			e := New(d.store(t), quiet(), map[string]Handler{"task": w.handle, "end": func(context.Context, Task) (Outcome, error) {
				ended = true
				cancel()
				return Outcome{}, nil
			}})
			if ids == nil {
				for _, tasks := range append(changes, nil) {
					steps := toSteps(tasks)
					if len(ids) == len(changes) {
						steps = []Step{{Kind: "end"}}
					}
					ids = append(ids, add(t, e, steps...))
				}
			}
			if err := e.Serve(ctx); err == nil || ctx.Err() == nil {
				t.Fatalf("Serve ended with %v", err)
			}
		}
		for n := 0; !ended; n++ {
			if n > 200 {
				t.Fatalf("no end after %d lives", n)
			}
			life()
		}

		s := d.store(t)
		e := New(s, quiet(), nil)
		var want []string
		for i, tasks := range changes {
			effects, statuses := model(tasks)
			want = append(want, effects...)
			_, got, err := e.Get(context.Background(), ids[i])
			if err != nil {
				t.Fatal(err)
			}
			var have []string
			for _, task := range got {
				have = append(have, fmt.Sprintf("%s %s %d", task.Args, task.Status, task.Attempts))
			}
			if d := cmp.Diff(statuses, have, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("tasks: %s", d)
			}
		}
		if d := cmp.Diff(want, left(t, s), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("effects: %s", d)
		}
		for _, name := range want {
			if got, planned := w.begun[name], len(w.fates[name].kills)+1; got != planned {
				t.Fatalf("%s was attempted %d times, not %d", name, got, planned)
			}
		}
	})
	t.Logf("%d lives", lives)
}
