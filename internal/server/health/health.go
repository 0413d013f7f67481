// Package health tells whether a server can do its work, by doing a little of
// it: it writes to the database and to the disks.
//
// A server that only says that it runs is believed by load balancers while its
// disk is full. So each part has a probe that writes and syncs, and undoes
// itself. Probes run when somebody asks, but not more often than every two
// seconds, whoever asks how often; a probe that hangs is left to itself and
// counts as failing, and its part is not probed again before it has ended. Nothing
// has to be restarted: a part that works again is healthy again.
//
// Anybody may see whether the server is well; which part is not, and why, is
// for administrators, and the log.
package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	fresh  = 2 * time.Second // a result serves everybody so long
	within = 5 * time.Second // then a probe has failed
)

// Probe is one part of a server.
type Probe struct {
	Name string
	Try  func(context.Context) error
}

// Part is what a probe found.
type Part struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Health asks the probes.
type Health struct {
	probes []Probe
	log    *slog.Logger

	stopping atomic.Bool

	mu      sync.Mutex
	asked   time.Time
	parts   []Part
	running map[string]chan struct{} // probes that hang
}

// New makes a Health of probes.
func New(log *slog.Logger, probes ...Probe) *Health {
	return &Health{probes: probes, log: log, running: map[string]chan struct{}{}}
}

// Stopping makes the server say that it takes no more work, while it still
// answers what it has. It waits for no probe: a stop has little time.
func (h *Health) Stopping() { h.stopping.Store(true) }

// Check asks the probes, or says what they said just now. The error is
// Unavailable and names the parts that fail.
func (h *Health) Check(ctx context.Context) ([]Part, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopping.Load() {
		return nil, fleet.Errorf(fleet.Unavailable, "cannot take more work: the server stops")
	}
	if h.asked.IsZero() || time.Since(h.asked) > fresh {
		h.ask(ctx)
	}
	var errs []error
	for _, p := range h.parts {
		if !p.OK {
			errs = append(errs, fmt.Errorf("%s: %s", p.Name, p.Error))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return h.parts, fleet.Errorf(fleet.Unavailable, "cannot work: %w", err)
	}
	return h.parts, nil
}

// ask runs all probes at once.
func (h *Health) ask(ctx context.Context) {
	// Who asked may go away; others wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	before := map[string]bool{}
	for _, p := range h.parts {
		before[p.Name] = p.OK
	}
	parts := make([]Part, len(h.probes))
	var wg sync.WaitGroup
	for i, p := range h.probes {
		done := h.running[p.Name]
		var result error
		if done == nil {
			done = make(chan struct{})
			go func() { result = p.Try(ctx); close(done) }()
			h.running[p.Name] = done
		} else {
			result = errors.New("it answers again") // the next question finds out
		}
		wg.Go(func() {
			select {
			case <-done:
				parts[i] = Part{Name: p.Name, OK: result == nil}
				if result != nil {
					parts[i].Error = cause(result)
				}
			case <-ctx.Done():
				parts[i] = Part{Name: p.Name, Error: fmt.Sprintf("no answer within %v", within)}
			}
		})
	}
	wg.Wait()
	for name, done := range h.running {
		select {
		case <-done:
			delete(h.running, name)
		default:
		}
	}
	for _, p := range parts {
		was, known := before[p.Name]
		switch {
		case !p.OK && (was || !known):
			h.log.Error("Server is not healthy", "part", p.Name, "error", p.Error)
		case p.OK && known && !was:
			h.log.Info("Server is healthy again", "part", p.Name)
		}
	}
	h.parts, h.asked = parts, time.Now()
}

// cause is the text of an error with the one that it stands for: what goes to
// clients leaves the database's own words out.
func cause(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Err != nil && e.Err.Error() != text {
		text += ": " + e.Err.Error()
	}
	return text
}

// row is what the probe of a database writes.
type row struct {
	Server string `col:"server,ident"`
	At     int64  `col:"at"`
}

// Class is the class that a store needs for [Database].
var Class = fleet.LocalClass[row]("probe")

// Database writes a row, and waits until that is durable.
func Database(s *store.Store, server string) Probe {
	return Probe{"database", func(ctx context.Context) error {
		return s.Update(ctx, store.Origin{Actor: "health"}, func(tx *store.Tx) error {
			return tx.Put(Class, Class.Encode(row{Server: server, At: tx.Now().UnixNano()}))
		})
	}}
}

// Folder writes a file of one block, syncs and removes it.
func Folder(name, dir string) Probe {
	return Probe{name, func(context.Context) (err error) {
		f, err := os.CreateTemp(dir, ".probe-*")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
		if _, err := f.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
		return f.Sync()
	}}
}

// Tidy removes what a probe of a folder left in a crash.
func Tidy(dir string) {
	left, err := filepath.Glob(filepath.Join(dir, ".probe-*"))
	if err != nil {
		return
	}
	for _, name := range left {
		os.Remove(name)
	}
}
