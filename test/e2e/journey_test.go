package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// patience is how long one phase may take, with all that is done to it.
const patience = 60 * time.Second

// phase is a part of the journey, seen from outside.
type phase string

const (
	starting   phase = "start"   // the agent's process starts ... the first fetched byte
	fetching   phase = "fetch"   // ... both caches are full
	installing phase = "install" // the agent starts after a reboot ... the results are merged on the server
)

// moment is a point of the journey.
type moment struct {
	phase  phase
	offset time.Duration // from the phase's begin
}

func (m moment) String() string { return fmt.Sprintf("%v into phase %q", m.offset, m.phase) }

// journey brings two products to one host that has joined, and their results
// back. The dependent product is the one that is asked for.
type journey struct {
	server   *site.Server
	agent    *site.Agent
	line     *site.Line
	host     string
	products []product // in the order of their actions
	target   string    // folder that they are installed to

	// At the moment, strike is done once to the journey, off its goroutine.
	at     *moment
	strike func()
	// mend makes things run again after the strike.
	mend func(ctx context.Context) error
	// fires lets the agent's timer fire when it has nothing to do and the goal
	// is not reached: for a server that was away.
	fires bool

	took   map[phase]time.Duration
	struck bool // the moment came
	fired  int
}

// prepare makes a new host that is asked to install the last of the products,
// with a line of its own.
func prepare(t testing.TB, s *site.Server, id string, products []product) *journey {
	t.Helper()
	ctx := t.Context()
	line, err := site.Connect(ctx, site.Branch, s.Listen)
	must(t, err)
	t.Cleanup(line.Close)
	j := &journey{server: s, line: line, host: id, products: products, target: t.TempDir(), took: map[phase]time.Duration{}}
	j.agent = host(t, s, line.URL(), id)
	for _, p := range products {
		_, err := s.Call(ctx, "productPropertyState_createObjects", map[string]any{"type": "ProductPropertyState",
			"productId": p.id, "propertyId": "target", "objectId": id, "values": []any{j.target}})
		must(t, err)
	}
	_, err = s.Call(ctx, "setProductActionRequestWithDependencies", products[len(products)-1].id, id, "setup")
	must(t, err)
	line.Reset()
	return j
}

// travel makes the journey. When it returns nil, the agent runs and has nothing
// to do; whether the end is right is for [journey.faults].
func (j *journey) travel(ctx context.Context) error {
	if err := j.agent.Start(ctx); err != nil {
		return err
	}
	if err := j.pass(ctx, starting, func(_ context.Context, st control.Status) bool {
		return st.Cache.WireBytes > 0 || full(st)
	}); err != nil {
		return err
	}
	if err := j.pass(ctx, fetching, func(_ context.Context, st control.Status) bool {
		return full(st) && st.Running == "" && st.Waiting == 0
	}); err != nil {
		return err
	}
	if err := j.agent.Stop(stopTime); err != nil {
		return err
	}
	j.agent.BootID = "second"
	if err := j.agent.Start(ctx); err != nil {
		return err
	}
	if err := j.pass(ctx, installing, j.merged); err != nil {
		return err
	}
	return j.pass(ctx, "rest", func(_ context.Context, st control.Status) bool {
		return st.Unsent == 0 && st.Running == "" && st.Waiting == 0
	})
}

// full tells whether both caches are ready.
func full(st control.Status) bool { return st.Flags["config_cached"] && st.Flags["products_cached"] }

// merged tells whether the server has the results of all actions.
func (j *journey) merged(ctx context.Context, _ control.Status) bool {
	rows, err := j.results(ctx)
	if err != nil {
		return false // the server may be away
	}
	n := 0
	for _, r := range rows {
		if r.Str("actionRequest") == string(fleet.None) && r.Str("actionResult") != string(fleet.None) && r.Str("actionResult") != "" {
			n++
		}
	}
	return n == len(j.products)
}

func (j *journey) results(ctx context.Context) ([]fleet.Row, error) {
	return j.server.Rows(ctx, "productOnClient_getObjects", []any{}, map[string]any{"clientId": j.host})
}

// pass waits for a phase's end, strikes at the moment, and mends.
func (j *journey) pass(ctx context.Context, p phase, done func(context.Context, control.Status) bool) error {
	began := time.Now()
	if j.at == nil || j.at.phase != p {
		return j.await(ctx, p, began, nil, done)
	}
	hit := make(chan struct{})
	timer := time.AfterFunc(j.at.offset, func() {
		j.strike()
		close(hit)
	})
	err := j.await(ctx, p, began, hit, done)
	if !j.struck && !timer.Stop() { // it struck while the phase ended
		<-hit
		j.struck = true
		err = errors.Join(err, j.mend(ctx))
	}
	return err
}

func (j *journey) await(ctx context.Context, p phase, began time.Time, hit chan struct{}, done func(context.Context, control.Status) bool) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	calm := 0
	for {
		st, err := j.agent.Status(ctx)
		if err == nil && done(ctx, st) {
			j.took[p] = time.Since(began)
			return nil
		}
		select {
		case <-hit:
			hit, j.struck = nil, true
			if err := j.mend(ctx); err != nil {
				return fmt.Errorf("cannot go on in phase %q: %w", p, err)
			}
			continue
		case <-late.C:
			return fmt.Errorf("phase %q did not end within %v: running %q, task %q, %d unsent, flags %v, last changes %v, %v",
				p, patience, st.Event, st.Task, st.Unsent, st.Flags, st.Changes, err)
		case <-tick.C:
		}
		if err != nil && hit == nil && !j.agent.Alive() {
			return fmt.Errorf("the agent ended by itself in phase %q", p)
		}
		// Idle twice, and the goal is not reached.
		if calm++; err != nil || st.Running != "" || st.Waiting > 0 || hit != nil {
			calm = 0
		}
		if j.fires && j.struck && calm > 5 {
			calm = 0
			j.fired++
			if _, err := j.agent.Fire(ctx, "timer"); err != nil {
				return err
			}
		}
	}
}

// faults are what is wrong at the end of a journey. The agent is killed for it:
// what it says is done must be so without a word of farewell.
func (j *journey) faults(ctx context.Context) (list []error) {
	add := func(err error) {
		if err != nil {
			list = append(list, err)
		}
	}
	st, err := j.agent.Status(ctx)
	add(err)
	if st.Unsent != 0 || st.Running != "" || st.Waiting != 0 {
		add(fmt.Errorf("the agent is not done: %d unsent, running %q, %d waiting", st.Unsent, st.Running, st.Waiting))
	}
	for _, p := range j.products {
		add(sameTree(p.source, filepath.Join(j.target, p.id)))
		add(sameTree(filepath.Dir(p.source), filepath.Join(j.agent.CacheDir(), "depot", p.id)))
	}
	add(j.resultFaults(ctx))
	add(j.journalFaults(ctx))
	add(j.orderFaults())
	j.agent.Kill()
	add(j.leftovers())
	add(integrity(ctx, filepath.Join(j.agent.Data, "agent.db")))
	add(integrity(ctx, filepath.Join(j.server.Data, "fernwerk.db")))
	return list
}

// resultFaults compares the server's rows with what was asked for.
func (j *journey) resultFaults(ctx context.Context) error {
	rows, err := j.results(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range j.products {
		n := 0
		for _, r := range rows {
			if r.Str("productId") != p.id {
				continue
			}
			n++
			got := strings.Join([]string{r.Str("installationStatus"), r.Str("actionRequest"), r.Str("actionResult"), r.Str("lastAction"), r.Str("productVersion")}, " ")
			if want := "installed none successful setup " + version; got != want {
				errs = append(errs, fmt.Errorf("the server has %s as %q, want %q", p.id, got, want))
			}
		}
		if n != 1 {
			errs = append(errs, fmt.Errorf("the server has %d results of %s", n, p.id))
		}
	}
	if len(rows) != len(j.products) {
		errs = append(errs, fmt.Errorf("the server has results of %d products, %d were asked for", len(rows), len(j.products)))
	}
	return errors.Join(errs...)
}

// orderFaults reads what the scripts wrote down: a product's last run must have
// come to its end, and what it needs was done before it first began.
func (j *journey) orderFaults() error {
	data, err := os.ReadFile(filepath.Join(j.target, "run.log"))
	if err != nil {
		return err
	}
	log := "\n" + string(data)
	var errs []error
	for _, p := range j.products {
		begin, end := "\n"+p.id+" begins\n", "\n"+p.id+" ends\n"
		if strings.LastIndex(log, end) < strings.LastIndex(log, begin) || !strings.Contains(log, begin) {
			errs = append(errs, fmt.Errorf("the last run of %s did not come to its end:%s", p.id, log))
		}
		if p.needs != "" {
			if before := strings.LastIndex(log, "\n"+p.needs+" ends\n"); before < 0 || before > strings.Index(log, begin) {
				errs = append(errs, fmt.Errorf("%s did not wait for %s:%s", p.id, p.needs, log))
			}
		}
	}
	return errors.Join(errs...)
}

// leftovers finds files that would stay for ever.
func (j *journey) leftovers() error {
	var errs []error
	names := func(dir string) (list []string) {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	for dir, most := range map[string]int{
		filepath.Join(j.agent.CacheDir(), "staging"): 0,
		filepath.Join(j.agent.CacheDir(), "depot"):   len(j.products),
		filepath.Join(j.agent.CacheDir(), "index"):   len(j.products),
		filepath.Join(j.agent.Data, "tmp"):           0,
	} {
		if list := names(dir); len(list) > most {
			errs = append(errs, fmt.Errorf("%s holds %q", dir, list))
		}
	}
	for _, dir := range []string{j.agent.Data, filepath.Join(j.agent.Data, "log")} {
		for _, name := range names(dir) {
			if strings.HasPrefix(name, ".") {
				errs = append(errs, fmt.Errorf("%s holds the temporary file %s", dir, name))
			}
		}
	}
	return errors.Join(errs...)
}
