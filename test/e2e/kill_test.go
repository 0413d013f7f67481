package e2e

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// envSeed repeats a kill test, as the flag -seed does.
const envSeed = "FERNWERK_KILL_SEED"

var seedFlag = flag.Uint64("seed", 0, "repeat the kill test of this seed (0: a new one, or "+envSeed+")")

// How many kills there are, and how many of the agent's must lie between the
// first fetched byte and the merge; with -short the second numbers.
var (
	agentKills  = [2]int{20, 3}
	agentWithin = [2]int{15, 3}
	serverKills = [2]int{10, 1}
)

// mostRedone is how many journeys of one test may be made again because the
// kill met nothing.
const mostRedone = 15

// TestKill kills the agent, then the server, at random moments of a journey
// that was measured before, and demands that the end is right each time.
func TestKill(t *testing.T) {
	seed := *seedFlag
	if text := os.Getenv(envSeed); seed == 0 && text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("seed %d: repeat with -seed %d or %s=%d", seed, seed, envSeed, seed)

	for i, part := range []struct {
		name string
		kill func(*killer, *testing.T)
	}{{"agent", (*killer).agents}, {"server", (*killer).servers}} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel() // the line takes the time, not the machine
			k := &killer{random: rand.New(rand.NewPCG(seed, uint64(i))), seed: seed, server: serve(t), took: map[phase]time.Duration{}}
			k.products = []product{
				pack(t, k.server, "base", "", 150, 2<<20),
				pack(t, k.server, "dependent", "base", 250, 5<<19),
			}
			k.measure(t)
			part.kill(k, t)
		})
	}
}

// killer draws moments and makes journeys.
type killer struct {
	random   *rand.Rand
	seed     uint64
	server   *site.Server
	products []product
	took     map[phase]time.Duration // as last measured undisturbed
	hosts    int
	redone   int
}

func (k *killer) journey(t testing.TB) *journey {
	k.hosts++
	return prepare(t, k.server, fmt.Sprintf("pc%d.kill.test", k.hosts), k.products)
}

// measure makes the journey undisturbed.
func (k *killer) measure(t *testing.T) {
	j := k.journey(t)
	err := j.travel(t.Context())
	k.judge(t, j, "undisturbed", err)
	up, down := j.line.Counts()
	t.Logf("undisturbed: %v to the first fetched byte, %v fetching, %v from start to merge; %d bytes up, %d down",
		k.took[starting], k.took[fetching], k.took[installing], up, down)
}

// draw takes a moment of the phases, each as likely as it is long.
func (k *killer) draw(phases ...phase) moment {
	var total time.Duration
	for _, p := range phases {
		total += k.took[p]
	}
	at := time.Duration(k.random.Int64N(int64(total)))
	for _, p := range phases {
		if at < k.took[p] {
			return moment{p, at.Round(time.Microsecond)}
		}
		at -= k.took[p]
	}
	panic("a moment after all phases")
}

func pick(n [2]int) int {
	if testing.Short() {
		return n[1]
	}
	return n[0]
}

// agents kills the agent. It starts again in the same boot, because a killed
// process is no reboot, and nothing else is done to help it.
func (k *killer) agents(t *testing.T) {
	met := map[string]int{} // interrupted tasks by kind
	var worst int64
	n := pick(agentKills)
	for i := 0; i < n; {
		phases := []phase{fetching, installing}
		if i >= pick(agentWithin) {
			phases = []phase{starting, fetching, installing}
		}
		j := k.journey(t)
		at := k.draw(phases...)
		j.at, j.strike, j.mend = &at, j.agent.Kill, j.agent.Start
		err := j.travel(t.Context())
		tasks, logErr := interrupted(j.agent.Log)
		must(t, logErr)
		name := fmt.Sprintf("agent kill %d, %v, interrupted %q", i+1, at, tasks)
		if err == nil && j.struck {
			err = j.said(t.Context(), tasks)
		}
		k.judge(t, j, name, err)
		up, down := j.line.Counts()
		worst = max(worst, up+down)
		if !j.struck || len(tasks) == 0 {
			k.redo(t, name)
			continue
		}
		t.Log(name)
		for _, kind := range tasks {
			met[kind]++
		}
		i++
	}
	t.Logf("interrupted tasks by kind: %v; at most %d bytes over the line for one journey", met, worst)
}

// said checks that the interruption of an action can be read in the
// installation log that the server has, and that of nothing else.
func (j *journey) said(ctx context.Context, tasks []string) error {
	v, err := j.server.Call(ctx, "log_read", "instlog", j.host)
	if err != nil {
		return err
	}
	log, _ := v.(string)
	return toldOf(log, tasks, len(j.products))
}

// toldOf compares an installation log with what was interrupted.
func toldOf(log string, tasks []string, actions int) error {
	told, begun := strings.Count(log, "attempt 2,"), 0
	for _, kind := range tasks {
		if strings.HasPrefix(kind, "action ") {
			begun++
		}
	}
	switch {
	case strings.Count(log, "attempt 1,") < actions-begun: // a kill may come before the first line
		return fmt.Errorf("the log that the server has is not whole:\n%s", log)
	case told != begun:
		return fmt.Errorf("%d actions were interrupted, the log tells of %d:\n%s", begun, told, log)
	case begun > 0 && !strings.Contains(log, "(the attempt before was interrupted)"):
		return fmt.Errorf("the log does not say that an action was interrupted:\n%s", log)
	}
	return nil
}

// servers kills the server, and starts it again after a while. The agent's
// timer fires when it has nothing else to do, as it would later.
func (k *killer) servers(t *testing.T) {
	noticed := 0
	n := pick(serverKills)
	for i := 0; i < n; {
		j := k.journey(t)
		at := k.draw(starting, fetching, installing)
		down := time.Duration(k.random.Int64N(int64(3 * time.Second)))
		j.at, j.fires = &at, true
		j.strike = func() {
			j.server.Kill()
			<-time.After(down)
		}
		j.mend = j.server.Start
		err := j.travel(t.Context())
		name := fmt.Sprintf("server kill %d, %v, away for %v, the timer fired %d times", i+1, at, down.Round(time.Millisecond), j.fired)
		if j.struck && !j.server.Alive() {
			err = errors.Join(err, errors.New("the server has gone"))
		}
		k.judge(t, j, name, err)
		if !j.struck {
			k.redo(t, name)
			continue
		}
		t.Log(name)
		if j.fired > 0 {
			noticed++
		}
		i++
	}
	t.Logf("after %d of %d kills of the server it took another event", noticed, n)
}

// judge fails the test, with all that is needed to find out why, if the end of
// a journey is not right.
func (k *killer) judge(t *testing.T, j *journey, name string, err error) {
	t.Helper()
	faults := []error{err}
	if err == nil {
		faults = j.faults(t.Context())
	}
	j.line.Close()
	for p, took := range j.took {
		if !j.struck || j.at.phase != p {
			k.took[p] = took // how fast the machine is changes with what else it does
		}
	}
	if err := errors.Join(faults...); err != nil {
		t.Fatalf("%s (seed %d, host %s): %v\nagent:\n%s\nserver:\n%s", name, k.seed, j.host, err,
			site.Tail(j.agent.Log, 25), site.Tail(j.server.Log, 10))
	}
}

// redo counts a journey that has to be made again.
func (k *killer) redo(t *testing.T, name string) {
	t.Helper()
	if k.redone++; k.redone > mostRedone {
		t.Fatalf("%d kills met nothing (seed %d): the moments no longer fit the journey", k.redone, k.seed)
	}
	t.Logf("%s: met nothing, drawn again", name)
}

// interrupted reads from an agent's log which tasks were interrupted; an action
// with its product.
func interrupted(log string) (tasks []string, err error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		_, kind, ok := strings.Cut(line, `msg="task was interrupted, attempt again"`)
		if !ok {
			continue
		}
		_, kind, _ = strings.Cut(kind, "kind=")
		kind, rest, _ := strings.Cut(kind, " ")
		if kind == "action" {
			if _, id, ok := strings.Cut(rest, `\"productId\":\"`); ok {
				id, _, _ = strings.Cut(id, `\"`)
				kind += " " + id
			}
		}
		tasks = append(tasks, kind)
	}
	return tasks, lines.Err()
}
