package nodefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// state is what is kept. It holds no contents.
type state struct {
	List    string            `json:"list"`   // digest
	Text    []byte            `json:"text"`   // of the list
	Signed  bool              `json:"signed"` // the list was signed offline
	Problem string            `json:"problem"`
	Asked   time.Time         `json:"asked"`
	Files   map[string]*entry `json:"files"` // by path
}

// entry is a file that is, or was, in the list.
type entry struct {
	SHA256   string    `json:"sha256"` // of the list, "" before it was in place
	Sum      string    `json:"sum"`    // of what stands there: the whole content, or the block
	Block    bool      `json:"block"`
	Wrote    bool      `json:"wrote"`   // by the agent
	Made     bool      `json:"made"`    // of a block: the agent made the file
	Restart  []string  `json:"restart"` // units
	Pending  bool      `json:"pending"` // the units are to be restarted yet
	State    string    `json:"state"`
	Problem  string    `json:"problem"`
	Since    time.Time `json:"since"`
	Repaired time.Time `json:"repaired,omitzero"`
	Named    string    `json:"named"` // the digest that the list has or had
	Owner    string    `json:"owner"`
	Group    string    `json:"group"`
	Told     bool      `json:"told"` // the server knows that it was removed
}

// maxState bounds the file, in bytes.
const maxState = 4 << 20

func (s *Service) load() error {
	s.state = state{Files: map[string]*entry{}}
	data, err := os.ReadFile(s.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read what is known of this node's files: %w", err)
	}
	var have state
	if len(data) > maxState || json.Unmarshal(data, &have) != nil || have.Files == nil {
		// Nothing is removed then: what was written is taken for somebody else's.
		s.Log.Error("What is known of this node's files is damaged, and is found out anew", "file", s.State)
		return nil
	}
	for path, e := range have.Files {
		if e == nil || nodefile.ValidPath(path) != nil {
			delete(have.Files, path)
		}
	}
	s.state = have
	return nil
}

// save keeps the state.
func (s *Service) save() error {
	data, err := json.Marshal(s.state)
	if err == nil {
		err = atomicfile.WriteFile(s.State, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot keep what is known of this node's files: %w", err)
	}
	return nil
}

// list is the one that is followed; nil for none.
func (s *state) list() *nodefile.List {
	if s.List == "" || nodefile.Sum(s.Text) != s.List {
		return nil
	}
	l, err := nodefile.Parse(s.Text)
	if err != nil {
		return nil
	}
	return l
}

// waits tells whether something is to be tried again soon.
func (s *state) waits() bool {
	for _, e := range s.Files {
		if e.State == nodefile.Waits || e.State == nodefile.Failed || e.Pending {
			return true
		}
	}
	return false
}

// report is what the server is told.
func (s *state) report() *nodefile.Report {
	r := &nodefile.Report{List: s.List, Problem: nodefile.Says(s.Problem), Files: []nodefile.Status{}}
	for _, path := range slices.Sorted(maps.Keys(s.Files)) {
		e := s.Files[path]
		if len(r.Files) == 4*nodefile.MaxFiles {
			break
		}
		r.Files = append(r.Files, nodefile.Status{Path: path, SHA256: e.Named, State: e.State, Problem: nodefile.Says(e.Problem), Since: e.Since, Repaired: e.Repaired})
	}
	return r
}

// becomes sets the state of a file, and says so where it is another.
func (s *Service) becomes(path string, e *entry, word string, problem error) {
	text := ""
	if problem != nil {
		text = nodefile.Says(problem.Error())
		if h := fleet.HintOf(problem); h != "" {
			text = nodefile.Says(text + "; " + h)
		}
	}
	if e.State == word && e.Problem == text {
		return
	}
	e.State, e.Problem, e.Since = word, text, s.Now().UTC().Truncate(time.Second)
	if word == nodefile.InPlace || word == nodefile.Removed {
		s.Log.Info("A file of this node", "path", path, "is", word, "problem", text)
	} else {
		s.Log.Warn("A file of this node", "path", path, "is", word, "problem", text)
	}
}
