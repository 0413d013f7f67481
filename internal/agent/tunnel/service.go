package tunnel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// How often the running agent looks whether it shall be in other tunnels: whether
// the list of places is another file by now, which costs next to nothing, and
// anew at everything, for the configuration may have changed.
const (
	notice = time.Second
	reread = 30 * time.Second
)

// Service renews the places of an agent, and keeps the tunnels up that shall be.
type Service struct {
	DataDir string
	Client  Client
	// Wanted are the tunnels of the configuration, and Rule who is told of a tunnel's
	// DNS servers. Nil: none, and auto.
	Wanted func(ctx context.Context) ([]string, error)
	Rule   func(ctx context.Context, name string) string
	// Came is told that a tunnel came up; it is quick. Nil: nobody wants to know.
	Came func()
	Log  *slog.Logger

	moves moves
}

// Serve works until ctx ends. The tunnels stay up: the next agent takes them over.
func (s *Service) Serve(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { s.renewals(ctx) })
	running := map[string]*link{}
	tick := time.NewTicker(notice)
	defer tick.Stop()
	said, kept, looked := "", "", false
	for {
		since, list := time.Now(), s.list() // before it is read
		wanted, err := s.wanted(ctx)
		if err != nil && ctx.Err() == nil && said != err.Error() {
			said = err.Error()
			s.Log.Warn("Tunnels stay as they are", "error", err)
		}
		for name, l := range running {
			if p, still := wanted[name]; err == nil && (!still || p.Dir != l.place.Dir) {
				l.leave()
				delete(running, name)
			}
		}
		if err == nil && !looked {
			s.unowned(ctx, wanted)
			looked = true
		}
		if err := s.resolver().Keep(ctx); err != nil && ctx.Err() == nil && kept != err.Error() {
			kept = err.Error()
			s.Log.Warn("A tunnel's DNS servers may have gone", "error", err)
		}
		for name, p := range wanted {
			if running[name] == nil {
				l := newLink(s, p)
				running[name] = l
				all.Go(func() { l.serve(ctx) })
			}
		}
		for time.Since(since) < reread && same(list, s.list()) {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// list is the file of places as it is now, nil if there is none.
func (s *Service) list() os.FileInfo {
	info, err := os.Stat(List(s.DataDir))
	if err != nil {
		return nil
	}
	return info
}

// same tells whether a file, which is replaced whole, was not replaced.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// wanted are the places of the tunnels that shall be up, by name.
func (s *Service) wanted(ctx context.Context) (map[string]Place, error) {
	all, err := Places(s.DataDir)
	if err != nil {
		return nil, err
	}
	up := map[string]Place{}
	for _, p := range all {
		if p.Up {
			up[p.Name] = p
		}
	}
	if s.Wanted == nil {
		return up, nil
	}
	names, err := s.Wanted(ctx)
	for _, name := range names {
		if _, there := up[name]; !there {
			up[name] = Place{Name: name, Dir: Home(s.DataDir, name), Up: true}
		}
	}
	return up, err
}

func (s *Service) renewals(ctx context.Context) {
	tick := time.NewTicker(Look)
	defer tick.Stop()
	for {
		if err := s.Renew(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("Tunnel credentials not renewed", "error", err, "hint", fleet.HintOf(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Renew looks at each place once; those that are up look after themselves.
func (s *Service) Renew(ctx context.Context) error {
	all, err := Places(s.DataDir)
	errs := []error{err}
	for _, p := range all {
		if p.Up {
			continue
		}
		changed, until, err := s.Client.Fetch(ctx, p, true)
		if changed {
			s.Log.Info("Tunnel credentials renewed", "tunnel", p.Name, "folder", p.Dir, "until", until)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Statuses are what is known of the tunnels of a data folder, by name. What an agent
// wrote that does not run is as old as it says.
func Statuses(dataDir string) (map[string]Status, error) {
	all, err := Places(dataDir)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	homes, _ := filepath.Glob(filepath.Join(dataDir, "tunnel", "*", statusFile))
	for _, path := range homes {
		dirs[filepath.Base(filepath.Dir(path))] = filepath.Dir(path)
	}
	for _, p := range all {
		if p.Up {
			dirs[p.Name] = p.Dir
		}
	}
	out := map[string]Status{}
	for name, dir := range maps.All(dirs) {
		st, err := readStatus(dir)
		if errors.Is(err, os.ErrNotExist) {
			st, err = Status{Name: name, State: Connecting}, nil
		}
		if err != nil {
			return nil, err
		}
		out[name] = st
	}
	return out, nil
}

// Await waits until a tunnel is up by the word of an agent that runs.
func Await(ctx context.Context, dataDir, name string) (Status, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := Statuses(dataDir)
		if err != nil {
			return Status{}, err
		}
		st := all[name]
		if st.State == Connected && (st.PID == 0 || alive(st.PID)) {
			return st, nil
		}
		select {
		case <-ctx.Done():
			why := cmp.Or(st.State, "not begun yet")
			if st.Problem != "" {
				why += ": " + st.Problem
			}
			return st, fleet.Errorf(fleet.Unavailable, "tunnel %s is not up: it is %s", name, why)
		case <-tick.C:
		}
	}
}
