package simulate

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// Report is what a simulation found.
type Report struct {
	Mode    string  `json:"mode"` // warm or herd
	Hosts   int     `json:"hosts"`
	Rate    float64 `json:"rate"` // wanted; 0: as fast as possible
	Connect Figures `json:"connect"`
	Figures
	Errors map[string]int `json:"errors"`
	Gone   bool           `json:"server_gone"` // during the load
	Server Process        `json:"server"`
	Client Process        `json:"client"` // this program
}

// Figures are those of one phase.
type Figures struct {
	CheckIns  int     `json:"check_ins"` // answered
	Failed    int     `json:"failed"`
	PutOff    int     `json:"put_off"` // by 503 with Retry-After
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	// Latency in milliseconds of those that were answered.
	Latency Latency `json:"latency_ms"`
}

// Latency has the usual percentiles.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// tally counts while a load runs.
type tally struct {
	mu     sync.Mutex
	took   []time.Duration
	errors map[string]int
	putOff atomic.Int64
	gone   atomic.Bool
}

func (t *tally) add(took time.Duration, err error) {
	if _, busy := errors.AsType[*busyError](err); busy {
		t.putOff.Add(1)
		return
	}
	if gone(err) {
		t.gone.Store(true)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.took = append(t.took, took)
		return
	}
	if t.errors == nil {
		t.errors = map[string]int{}
	}
	t.errors[brief(err)]++
}

// brief is an error without what differs from host to host.
func brief(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

func (t *tally) failed() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, count := range t.errors {
		n += count
	}
	return n
}

// err says what failed most.
func (t *tally) err(of int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	most, sum := "", 0
	for text, n := range t.errors {
		if sum += n; most == "" || n > t.errors[most] {
			most = text
		}
	}
	return fleet.Errorf(fleet.Unavailable, "%d of %d check-ins failed: %s", sum, of, most)
}

func (t *tally) figures(took time.Duration) Figures {
	failed := t.failed()
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.Sort(t.took)
	f := Figures{CheckIns: len(t.took), Failed: failed, PutOff: int(t.putOff.Load()), Seconds: took.Seconds()}
	if took > 0 {
		f.PerSecond = float64(len(t.took)) / took.Seconds()
	}
	at := func(share float64) float64 {
		if len(t.took) == 0 {
			return 0
		}
		d := t.took[min(int(share*float64(len(t.took))), len(t.took)-1)]
		return float64(d.Microseconds()) / 1000
	}
	f.Latency = Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
	return f
}

// String is a report for people.
func (r *Report) String() string {
	f := r.Figures
	text := fmt.Sprintf("%d check-ins in %.1f s, %.0f a second, %d failed, %d put off\n", f.CheckIns, f.Seconds, f.PerSecond, f.Failed, f.PutOff)
	text += fmt.Sprintf("latency: 50 %% %.1f ms, 90 %% %.1f ms, 99 %% %.1f ms, at most %.1f ms\n", f.Latency.P50, f.Latency.P90, f.Latency.P99, f.Latency.Max)
	text += fmt.Sprintf("server: %s\nthis program: %s\n", r.Server, r.Client)
	for _, what := range slices.Sorted(maps.Keys(r.Errors)) {
		text += fmt.Sprintf("%d times: %s\n", r.Errors[what], term.Clean(what)) // it may be the server's
	}
	return text
}
