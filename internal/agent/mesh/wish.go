package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// How often the running agent looks whether it shall be in the mesh: whether the note
// of `mesh up` is another file by now, which costs next to nothing, and anew also at
// the configuration.
const (
	notice = 500 * time.Millisecond
	reread = 30 * time.Second
)

// wish is what somebody wished by `mesh up` and `mesh down`.
type wish struct {
	Up bool `json:"up"`
}

// Note is the file of the wish, beside the mesh's folder.
func Note(dir string) string { return filepath.Clean(dir) + ".json" }

// Wish has the running agent enter the mesh, or leave it; was is what was wished
// before. Who wishes again to enter has the server asked again, which may have said no
// before, or not have answered.
func Wish(dir string, up bool) (was bool, err error) {
	now, err := wished(dir)
	if err != nil || !now.Up && !up {
		return now.Up, err
	}
	text, err := json.Marshal(wish{up})
	if err == nil {
		err = atomicfile.WriteFile(Note(dir), append(text, '\n'), 0o600)
	}
	return now.Up, err
}

func wished(dir string) (w wish, err error) {
	text, err := os.ReadFile(Note(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		return w, fmt.Errorf("cannot read %s: %w", Note(dir), err)
	}
	return w, nil
}

// The states of the mesh on this machine.
const (
	Up         = "up"         // the hub is reached
	Connecting = "connecting" // it is not, or not yet
	Refused    = "refused"    // the server said no, see Problem; it is asked again
	Off        = "off"
)

// Standing is how it stands, as the running agent wrote it.
type Standing struct {
	State   string    `json:"state"`
	Problem string    `json:"problem"`
	Since   time.Time `json:"since"` // of State
	PID     int       `json:"pid"`   // of the agent
}

const standingFile = "standing.json"

// Stands reads how it stands; the zero value if no agent ever said.
func Stands(dir string) (st Standing, err error) {
	text, err := os.ReadFile(filepath.Join(dir, standingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	return st, err
}

// stands notes how it stands, if that is new.
func (s *Service) stands(state, problem string) {
	if s.standing.State == state && s.standing.Problem == problem {
		return
	}
	if s.standing.State != state {
		s.Log.Info("Mesh", "state", state)
		s.standing.Since = s.Now().UTC().Truncate(time.Second)
	}
	s.standing.State, s.standing.Problem, s.standing.PID = state, problem, os.Getpid()
	text, err := json.MarshalIndent(s.standing, "", "  ")
	if err == nil {
		err = atomicfile.WriteFile(filepath.Join(s.Dir, standingFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		s.Log.Warn("The mesh's state is not noted", "error", err)
	}
}

// Await waits until the machine is in the mesh, by the word of the process that is the
// mesh, or is out of it.
func Await(ctx context.Context, dir string, up bool) (State, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := Stands(dir)
		if err != nil {
			return State{}, err
		}
		now, err := (&nebula.Control{Dir: dir}).Status(ctx)
		switch {
		case up && err == nil && st.State == Up && reached(now):
			state, _, err := Load(dir)
			return state, err
		case !up && err != nil && st.State != Up && st.State != Connecting:
			return State{}, nil
		}
		select {
		case <-ctx.Done():
			what := "up"
			if !up {
				what = "left"
			}
			why := cmp.Or(st.State, "not begun yet")
			if st.Problem != "" {
				why += ": " + st.Problem
			}
			return State{}, fleet.Errorf(fleet.Unavailable, "the mesh is not %s: it is %s", what, why)
		case <-tick.C:
		}
	}
}

// wants tells whether the machine shall be in the mesh. What cannot be read changes
// nothing.
func (s *Service) wants(ctx context.Context) bool {
	info, err := os.Stat(Note(s.Dir))
	if err != nil {
		info = nil
	}
	same := info == nil && s.note == nil || info != nil && s.note != nil && os.SameFile(info, s.note) && info.ModTime().Equal(s.note.ModTime())
	if same && s.Now().Sub(s.looked) < reread && !s.looked.IsZero() {
		return s.wanted
	}
	w, err := wished(s.Dir)
	enabled := false
	if err == nil && !w.Up && s.Enabled != nil {
		enabled, err = s.Enabled(ctx)
	}
	if s.looked = s.Now(); !same {
		s.note = info
	}
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Warn("The mesh stays as it is", "error", err)
		}
		return s.wanted
	}
	s.wanted = w.Up || enabled
	return s.wanted
}

// Serve keeps the machine in the mesh while it shall be, until ctx ends, and takes it
// out then.
func (s *Service) Serve(ctx context.Context) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot use the mesh's folder: %w", err)
	}
	s.standing, _ = Stands(s.Dir) // of the agent before
	s.process = &nebula.Control{Dir: s.Dir, Program: s.Settings.Program, Log: s.Log}
	tick := time.NewTicker(notice)
	defer tick.Stop()
	in := false
	for first := true; ; first = false {
		switch wants := s.wants(ctx); {
		case wants:
			in = true
			if err := s.stay(ctx, tick.C); err != nil || ctx.Err() != nil {
				return err
			}
			continue
		case in || first: // it may have been left by an agent that was killed
			in = false
			s.out(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// out leaves the mesh, and says so to the server if it was in.
func (s *Service) out(ctx context.Context) {
	stop, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	was := s.standing.State == Up || s.standing.State == Connecting
	if err := errors.Join(s.process.Stop(stop), s.Names.Remove(stop, owner)); err != nil {
		s.Log.Warn("The mesh is not left", "error", err)
		return
	}
	if was {
		if err := s.load(); err == nil && s.state.Certificate != "" {
			if _, _, err := s.ask(stop, 0); err != nil {
				s.Log.Warn("The server does not know yet that the mesh is left", "error", err)
			}
		}
	}
	if was || s.standing.State == Refused {
		s.stands(Off, "")
	}
}
