// Package scheduler is the server's way to batch schedulers: which it drives, by
// what driver, and how that stands.
//
// The drivers are rooms of their own: oar, slurm and exec, over package tool that
// runs programs. Package presence calls them, one change at a time, from what the
// database says shall be. [Schedulers.Compare] looks at the same without changing
// anything, for people.
package scheduler

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/exec"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/oar"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/slurm"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
)

// Driver is what each of them is.
type Driver interface {
	Name() string
	Wants(n node.Node) bool
	Read(ctx context.Context) (map[string]node.State, error)
	Differs(want node.Node, is node.State, found bool) string
	Apply(ctx context.Context, c node.Change) error
	// Again is how soon it wants to read again, 0 for not before long.
	Again() time.Duration
}

// waiter is a driver that can tell people what else than itself has to do something.
type waiter interface {
	Waits(want node.Node, found bool) (why string)
}

// Tools says how a scheduler's tools are run; see package tool.
type Tools struct {
	Bin    string
	Prefix []string
	Limit  int // seconds of one call; 0 is [tool.DefaultLimit]
}

// Program is what the driver exec runs.
type Program struct {
	Program []string
	Limit   int // seconds
}

// Config is what Schedulers are made of.
type Config struct {
	Use        []string // oar, slurm, exec
	OAR, Slurm Tools
	Exec       Program
	Store      *store.Store
	// Desired are all nodes as they shall be.
	Desired func(tx *store.Tx) iter.Seq2[node.Node, error]
}

// fresh is for how long a reading serves further people who ask.
const fresh = 2 * time.Second

// Schedulers are those that this server drives.
type Schedulers struct {
	cfg     Config
	driving []Driver
	looking []*looking
	counts  counts
}

// looking is a driver for people, who may come at once.
type looking struct {
	Driver
	mu   sync.Mutex
	is   map[string]node.State
	read time.Time
}

// New makes them.
func New(cfg Config) *Schedulers {
	s := &Schedulers{cfg: cfg}
	for _, kind := range cfg.Use {
		s.driving = append(s.driving, &counted{Driver: s.driver(kind), counts: &s.counts, waiting: map[string]bool{}})
		s.looking = append(s.looking, &looking{Driver: s.driver(kind)})
	}
	return s
}

func (s *Schedulers) driver(kind string) Driver {
	run := func(prefix []string, limit int) tool.Runner {
		return tool.Runner{Prefix: prefix, Limit: time.Duration(limit) * time.Second, Observe: s.counts.call}
	}
	switch kind {
	case oar.Name:
		return oar.New(oar.Config{Tools: run(s.cfg.OAR.Prefix, s.cfg.OAR.Limit), Bin: s.cfg.OAR.Bin, Cores: s.cores})
	case slurm.Name:
		return &slurm.Driver{Tools: run(s.cfg.Slurm.Prefix, s.cfg.Slurm.Limit), Bin: s.cfg.Slurm.Bin}
	}
	return &exec.Driver{Tools: run(nil, s.cfg.Exec.Limit), Program: s.cfg.Exec.Program}
}

// cores are what hosts reported of their processors.
func (s *Schedulers) cores(ctx context.Context) (map[string]int, error) {
	all := map[string]int{}
	err := s.cfg.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Select(fleet.AuditHardwareOnHosts, fleet.Filter{"hardwareClass": []string{"PROCESSOR"}, "state": int64(1)})
		for _, row := range rows {
			if n, err := fleet.Number(row["numberOfCores"]); err == nil && n > 0 {
				all[row.Str("hostId")] += int(n)
			}
		}
		return err
	})
	return all, err
}

// desired are all nodes as they shall be now.
func (s *Schedulers) desired(ctx context.Context) (want []node.Node, err error) {
	err = s.cfg.Store.View(ctx, func(tx *store.Tx) error {
		for n, err := range s.cfg.Desired(tx) {
			if err != nil {
				return err
			}
			want = append(want, n)
		}
		return nil
	})
	return want, err
}

// Drivers are for package presence.
func (s *Schedulers) Drivers() []Driver { return s.driving }

// Compare reads the schedulers, then what shall be, and sets one beside the other,
// by name. A scheduler that cannot be read is the Why of its nodes.
func (s *Schedulers) Compare(ctx context.Context) ([]node.Resource, error) {
	type reading struct {
		*looking
		is  map[string]node.State
		err error
	}
	var all []reading
	for _, l := range s.looking {
		is, err := l.now(ctx)
		all = append(all, reading{l, is, err})
	}
	want, err := s.desired(ctx)
	if err != nil {
		return nil, err
	}
	var out []node.Resource
	for _, n := range want {
		if n.Scheduler == "" || n.Scheduler == "none" {
			continue
		}
		r := node.Resource{HostID: n.HostID, Name: n.Name, NodeType: n.NodeType, Scheduler: n.Scheduler, Up: n.Up, Epoch: n.Epoch,
			Is: node.Unknown, Why: "this server does not drive " + n.Scheduler}
		for _, l := range all {
			if !l.Wants(n) {
				continue
			}
			if r.Why = ""; l.err != nil {
				r.Why = l.err.Error()
				continue
			}
			var was node.State
			was, r.Known = l.is[n.Name]
			r.Is, r.Told, r.Properties = was.Word, was.Epoch, was.Properties
			if r.Known && r.Is == "" {
				r.Is = map[bool]string{true: "up", false: "down"}[was.Up]
			}
			r.Why = l.differs(n, was, r.Known)
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b node.Resource) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.HostID, b.HostID))
	})
	return out, nil
}

// now reads the scheduler, unless somebody just did.
func (l *looking) now(ctx context.Context) (map[string]node.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.is != nil && time.Since(l.read) < fresh {
		return l.is, nil
	}
	is, err := l.Read(ctx)
	if err == nil {
		l.is, l.read = is, time.Now()
	}
	return is, err
}

func (l *looking) differs(n node.Node, is node.State, found bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	why := l.Differs(n, is, found)
	if w, ok := l.Driver.(waiter); ok && why == "" {
		why = w.Waits(n, found)
	}
	return why
}
