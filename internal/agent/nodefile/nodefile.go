// Package nodefile brings this machine the files of its node type: root's
// authorised keys, a batch system's configuration and key. See package nodefile
// (fleet) for what is said.
//
// It asks when it starts, when it is woken, as by a tunnel that came up, when the
// machine has got another address, and from time to time. A question for which
// nothing is new is one small request.
//
// # Who is believed
//
// Under the policies offline and delegated the list is a signed target, and the
// server only bears it: what the server itself says is not looked at. Under
// plain-opsi the server's list counts. Contents are taken by the digests of the
// list, whoever brings them.
//
// # How a file is written
//
// The folders of a path are opened one after the other, from the root, and none
// through a link; each must belong to root or the file's owner, and nobody else may
// write in it ([place]). A new content is written beside the place, gets owner and
// mode there, is flushed and renamed over the place: nobody sees half of it, nor
// with another mode. Of a block the rest of the file is kept byte for byte.
//
// What the agent wrote is in DATA/files.json before it is in place. A file that is
// no longer in the list is removed if the agent wrote it and it is as it was
// written; else it stays, and that is told. What was changed here is put right, and
// told. A file waits, and is tried again, while its owner does not exist yet, or
// nobody has its content.
package nodefile

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// Trust is the verified content of signed targets.
type Trust interface {
	Refresh(ctx context.Context) error
	// Digest is the SHA-256 under which a name is signed now.
	Digest(name string) (sum [32]byte, ok bool)
	// Content fetches and verifies. NotFound: what is believed has no such name, if
	// Digest knows none either.
	Content(ctx context.Context, name string) ([]byte, error)
}

// Config is what a Service needs.
type Config struct {
	State string // path of the file that says what was written
	Root  string // where paths begin: "/"
	// Own are paths of the agent's own, where no file is written.
	Own []string
	// Ask sends a request to a path of the server, with the machine's certificate.
	Ask   func(ctx context.Context, path string, in, out any) error
	Trust Trust
	// Who says what the machine is now: its node type, and whom it believes.
	Who func() (nodeType string, policy enrol.Policy, err error)
	// Restart restarts a service if it runs.
	Restart func(ctx context.Context, unit string) error
	// Addresses are those of this machine; nil looks.
	Addresses func() ([]net.Addr, error)
	Log       *slog.Logger
	Now       func() time.Time
}

// Service keeps the files right.
type Service struct {
	Config
	wake, moved chan struct{}

	working sync.Mutex // of a round; guards what follows
	state   state
	told    told
	every   time.Duration

	mu    sync.Mutex
	shown nodefile.Machine // after the last round
}

// told is what the server has heard since the agent's start.
type told struct {
	report string
	keys   []string
}

// How long it waits.
const (
	usual     = 5 * time.Minute        // between questions, until the server says
	retry     = 15 * time.Second       // after a failure, doubled each time
	waiting   = time.Minute            // while a file waits for something here
	settle    = 300 * time.Millisecond // after a change of addresses, which seldom comes alone
	mostWait  = time.Hour
	leastWait = 5 * time.Second
)

// New goes on with what was known; [Service.Serve] works.
func New(c Config) (*Service, error) {
	if c.Addresses == nil {
		c.Addresses = net.InterfaceAddrs
	}
	s := &Service{Config: c, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1), every: usual}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.show()
	return s, nil
}

// Wake has the server asked now.
func (s *Service) Wake() { ring(s.wake) }

// Moved says that the machine's addresses may have changed: it looks, and asks if so.
func (s *Service) Moved() { ring(s.moved) }

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// Serve works until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	failures, said := 0, ""
	for {
		at := s.addresses()
		err := s.Round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait := s.wait()
		text := ""
		if err != nil {
			text = err.Error()
			wait = min(wait, retry<<min(failures, 10))
			failures++
		} else {
			failures = 0
		}
		if text != said && err != nil {
			s.Log.Warn("The files of this node are not up to date", "error", err, "hint", fleet.HintOf(err))
		}
		said = text
		if s.pause(ctx, wait*4/5+rand.N(wait*2/5+1), at) {
			failures = 0
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// wait is how long nothing is to be done after a round that went well.
func (s *Service) wait() time.Duration {
	s.working.Lock()
	defer s.working.Unlock()
	if s.state.waits() {
		return min(s.every, waiting)
	}
	return s.every
}

// pause waits; early says that something happened before the time was over.
func (s *Service) pause(ctx context.Context, wait time.Duration, at string) (early bool) {
	over := time.NewTimer(wait)
	defer over.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return false
		case <-s.wake:
			return true
		case <-s.moved:
			if settled == nil {
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			if now := s.addresses(); now != at && now != "" {
				return true
			}
		}
	}
}

// addresses are those of this machine as one text.
func (s *Service) addresses() string {
	all, err := s.Addresses()
	if err != nil {
		return ""
	}
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// Status says how the files are.
func (s *Service) Status() (nodefile.Machine, error) {
	nodeType, policy, err := s.Who()
	if err != nil {
		return nodefile.Machine{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.shown
	now.NodeType, now.Signed = nodeType, signs(policy)
	return now, nil
}

// show keeps how things are for who asks.
func (s *Service) show() {
	now := nodefile.Machine{List: s.state.List, Asked: s.state.Asked, Problem: s.state.Problem, Files: s.state.report().Files}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = now
}

// signs tells whether a policy wants lists to be signed.
func signs(p enrol.Policy) bool { return p != enrol.PlainOpsi && p != "" }
