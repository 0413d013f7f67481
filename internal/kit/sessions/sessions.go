// Package sessions knows who is logged in to this machine, and whether its desktop
// has started.
//
// It only reads. On Linux systemd-logind keeps a file for each session in
// /run/systemd/sessions; where there is no logind, /run/utmp is asked. A display
// manager's greeter is a session of its own, so the desktop has started before
// anybody logged in. Elsewhere nothing is known, and [ErrUnknown] says so.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrUnknown is that nothing here tells of sessions.
var ErrUnknown = errors.New("nothing on this machine tells who is logged in")

// Session is one.
type Session struct {
	ID    string
	User  string
	Class string // logind's: user, greeter, lock-screen, background, manager, ...
	Type  string // tty, x11, wayland, ...
	State string // online, active, closing
}

// Person tells whether somebody is logged in by it.
func (s Session) Person() bool {
	return (s.Class == "user" || strings.HasPrefix(s.Class, "user-") && s.Class != "user-incomplete") && s.State != "closing"
}

// Desktop tells whether it is a graphical one, somebody's or the greeter's.
func (s Session) Desktop() bool {
	return (s.Type == "x11" || s.Type == "wayland" || s.Type == "mir") && (s.Class == "greeter" || s.Person())
}

// Limits of what is read.
const (
	maxSessions = 4096
	maxFile     = 64 << 10
	maxUtmp     = 4 << 20
)

// DefaultRun is where the system keeps what is so since its start.
const DefaultRun = "/run"

// List lists the sessions; run is the folder /run.
func List(run string) ([]Session, error) {
	dir := filepath.Join(run, "systemd", "sessions")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return users(filepath.Join(run, "utmp"))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the sessions: %w", err)
	}
	var list []Session
	for _, e := range entries[:min(len(entries), maxSessions)] {
		if !e.Type().IsRegular() || strings.Contains(e.Name(), ".") {
			continue // a pipe that logind holds, or a file in the making
		}
		data, err := readSome(filepath.Join(dir, e.Name()), maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read session %s: %w", e.Name(), err)
		}
		list = append(list, parse(e.Name(), string(data)))
	}
	return list, nil
}

// parse reads what logind wrote.
func parse(id, text string) Session {
	s := Session{ID: id}
	into := map[string]*string{"USER": &s.User, "CLASS": &s.Class, "TYPE": &s.Type, "STATE": &s.State}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		if field := into[key]; field != nil {
			*field = strings.Trim(value, `"`)
		}
	}
	return s
}

func readSome(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, 0, 1024)
	buffer := make([]byte, 4096)
	for int64(len(data)) < most {
		n, err := f.Read(buffer)
		data = append(data, buffer[:n]...)
		if err != nil {
			break
		}
	}
	return data, nil
}

// LoggedIn tells whether somebody is logged in, at the machine or from afar.
func LoggedIn(run string) (bool, error) {
	list, err := List(run)
	return slices.ContainsFunc(list, Session.Person), err
}

// Slow is how often it is time to look where the system tells nothing; where it does, it
// is looked at every [seldom] all the same.
const (
	Slow   = 15 * time.Second
	seldom = 5 * time.Minute
)

// Watch calls changed whenever sessions may have come or gone, until ctx ends: at
// once where the system tells, else every [Slow]. changed is quick.
func Watch(ctx context.Context, run string, changed func()) {
	told := make(chan struct{}, 1)
	for {
		stop, tells := tell(run, told) // each time: a folder may be there now that was not
		changed()                      // what happened before anybody listened, too
		wait := seldom
		if !tells {
			wait = Slow
		}
		tick := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-told:
		case <-tick.C:
		}
		tick.Stop()
		stop()
		if ctx.Err() != nil {
			return
		}
	}
}
