// Package mesh keeps this machine in the mesh of its server: it fetches and renews
// the certificate, runs the process, and keeps the map that the server's authority
// of the mesh signed. See package nebula (kit) for the process, mesh (fleet) for
// what is said.
//
//	DATA/mesh/state.json  certificate and map, mode 0600
//	DATA/mesh/standing.json  how it stands
//	DATA/mesh/...         the process's own
//	DATA/mesh.json        whether somebody wished that the machine is in the mesh
//
// The machine comes up with what it has, whether or not the server answers: the
// map says where the others were last, and hubs are asked where they are now. An
// answer changes the running process, and ends no tunnel but those with nodes that
// count no more.
package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
	"github.com/fernwerk/fernwerk/internal/kit/resolver"
)

// Path is where the server is asked.
const Path = "/v1/mesh"

// maxState bounds the file, in bytes.
const maxState = 8 << 20

// State is what is kept.
type State struct {
	HostID      string       `json:"hostId"`
	Authority   []byte       `json:"authority"` // the key that maps are signed with; the first one counts, and who followed it
	Certificate string       `json:"certificate"`
	Fingerprint string       `json:"fingerprint"`
	NotAfter    time.Time    `json:"notAfter"`
	Address     netip.Prefix `json:"address"`
	Groups      []string     `json:"groups"`
	Map         mesh.Signed  `json:"map"`
}

// Settings are what the machine's configuration says.
type Settings struct {
	Port    int
	Device  string
	Program string
}

// Service keeps the machine in the mesh.
type Service struct {
	Dir      string // DATA/mesh
	HostID   string
	Settings Settings
	// Ask sends a request to a path of the server, with the machine's certificate.
	Ask func(ctx context.Context, path string, in, out any) error
	Log *slog.Logger
	Now func() time.Time

	// Enabled is what the machine's configuration says; nil: nothing.
	Enabled func(ctx context.Context) (bool, error)
	// Names is the machine's resolver, and Rule how it is told.
	Names resolver.Resolver
	Rule  func(ctx context.Context) string

	process  *nebula.Control
	state    State
	network  mesh.Map
	denied   bool
	standing Standing
	wanted   bool // of the last look
	looked   time.Time
	note     os.FileInfo
	named    string // what the resolver was told
}

// look is how often the process is looked at, between questions.
const look = 5 * time.Second

// usual is how often the server is asked that has not said how often.
const usual = time.Minute

// stay keeps the machine in the mesh until it shall be no longer, or ctx ends. wake has it
// look whether it shall be.
func (s *Service) stay(ctx context.Context, wake <-chan time.Time) error {
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if ctx.Err() == nil {
			return // it is left, which says more
		}
		if err := errors.Join(s.process.Stop(stop), s.Names.Remove(stop, owner)); err != nil {
			s.Log.Warn("The mesh runs on", "error", err)
		}
	}()
	if err := s.load(); err != nil {
		s.Log.Warn("The mesh begins anew: what is kept of it cannot be used", "error", err)
		s.state = State{}
	}
	s.denied = false
	s.stands(Connecting, "")
	var next, seen time.Time
	every := usual
	last := map[string]string{} // what was said, so that it is said once
	tell := func(what string, err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != last[what] && err != nil && ctx.Err() == nil {
			s.Log.Warn(what, "error", err, "hint", fleet.HintOf(err))
		}
		last[what] = text
	}
	var up int64
	for {
		tell("The mesh is not up", s.apply(ctx))
		since := s.since(ctx)
		if now := s.Now(); !now.Before(next) || since != up {
			asked, news, err := s.ask(ctx, since)
			tell("Nothing new of the mesh", err)
			if asked > 0 {
				every = asked
			}
			up, next = since, now.Add(every)
			if news {
				continue // with what came
			}
		}
		tell("The mesh's DNS servers are not used", s.name(ctx, since))
		switch {
		case since != 0:
			s.stands(Up, "")
		case s.denied:
			s.stands(Refused, last["Nothing new of the mesh"])
		default:
			s.stands(Connecting, cmp.Or(last["The mesh is not up"], last["Nothing new of the mesh"]))
		}
		seen = s.Now()
		soon := s.settling(since)
		for again := true; again; {
			select {
			case <-ctx.Done():
				return nil
			case <-wake:
				note := s.note
				if !s.wants(ctx) {
					return nil
				}
				if s.note != note && since == 0 { // somebody wished it again
					again, next = false, time.Time{}
				} else {
					again = s.Now().Sub(seen) < look
				}
			case <-soon:
				again = false
			case <-s.process.Ended():
				again = false
			}
		}
	}
}

// settling is a look soon, while the mesh comes up.
func (s *Service) settling(since int64) <-chan time.Time {
	if since != 0 || s.state.Certificate == "" {
		return nil
	}
	return time.After(500 * time.Millisecond)
}

// apply has the process run as the state says.
func (s *Service) apply(ctx context.Context) error {
	if s.denied || s.state.Certificate == "" || s.network.CA == "" {
		return nil
	}
	if !s.Now().Before(s.state.NotAfter) {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "the machine's certificate of the mesh was good until %v", s.state.NotAfter), "it is renewed as soon as the server answers")
	}
	return s.process.Apply(ctx, s.config(here(s.Settings.Device)), s.readdressed(ctx))
}

// readdressed tells whether the process runs under another address than it is to
// have: it cannot take one while it runs.
func (s *Service) readdressed(ctx context.Context) bool {
	text, err := os.ReadFile(filepath.Join(s.Dir, "address"))
	is := s.state.Address.String()
	if err == nil && string(text) == is {
		return false
	}
	if err := atomicfile.WriteFile(filepath.Join(s.Dir, "address"), []byte(is), 0o600); err != nil {
		s.Log.Warn("The mesh's address is not kept", "error", err)
	}
	return true
}

// config is the process's configuration.
func (s *Service) config(lan []netip.Prefix) nebula.Config {
	c := nebula.Config{CA: s.network.CA, Certificate: s.state.Certificate, Blocked: s.network.Blocked, Port: s.Settings.Port, Device: s.Settings.Device,
		Static: map[netip.Addr][]string{}}
	for _, n := range s.network.Nodes {
		for _, at := range n.At {
			if n.HostID != s.HostID {
				c.Static[n.Address] = append(c.Static[n.Address], at.String())
			}
		}
	}
	for _, h := range s.network.Hubs {
		c.Lighthouses = append(c.Lighthouses, h.Address)
		c.Static[h.Address] = h.At
	}
	s.beside(&c)
	for _, p := range lan {
		c.Preferred = append(c.Preferred, p.Masked())
		c.Own = append(c.Own, p.Addr())
	}
	for _, r := range s.network.Allow {
		if r.To == "any" || slices.Contains(s.state.Groups, r.To) {
			c.Inbound = append(c.Inbound, nebula.Rule{Proto: r.Proto, Ports: r.Ports, Group: r.From})
		}
	}
	return c
}

// since is when the mesh came up, in Unix milliseconds: 0 while no hub is reached.
func (s *Service) since(ctx context.Context) int64 {
	status, err := s.process.Status(ctx)
	if err != nil || !reached(status) {
		return 0
	}
	return status.Since.UnixMilli()
}

// reached tells whether there is a tunnel with a hub.
func reached(now nebula.Status) bool {
	return slices.ContainsFunc(now.Peers, func(p nebula.Peer) bool { return p.Hub })
}

// ask asks the server. news says that the state changed.
func (s *Service) ask(ctx context.Context, since int64) (every time.Duration, news bool, err error) {
	key, err := nebula.Key(s.Dir, false)
	if err != nil {
		return 0, false, err
	}
	lan := here(s.Settings.Device)
	req := mesh.Request{Key: key, Holds: s.state.Fingerprint, Since: since, LAN: lan}
	if len(s.state.Map.Map) > 0 {
		req.Tag, req.Believes = mesh.Tag(s.state.Map.Map), mesh.Tag([]byte(s.network.CA))
	}
	for _, p := range lan {
		req.Places = append(req.Places, netip.AddrPortFrom(p.Addr(), uint16(s.Settings.Port)))
	}
	req.Paths = s.paths(ctx, lan)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var got mesh.Answer
	if err := s.Ask(ctx, Path, req, &got); err != nil {
		return 0, false, s.refused(ctx, err)
	}
	s.denied = false
	every = min(max(time.Duration(got.Every)*time.Second, 5*time.Second), time.Hour)
	next := s.state
	next.HostID = s.HostID
	if got.Certificate != "" {
		next.Certificate, next.Fingerprint, next.NotAfter, next.Address, next.Groups = got.Certificate, got.Fingerprint, got.NotAfter, got.Address, got.Groups
	}
	network := s.network
	if got.Map != nil {
		if next.Authority == nil {
			next.Authority = got.Map.Key
		}
		if network, err = got.Map.Open(next.Authority); err != nil {
			return every, false, fleet.WithHint(err, "if the server was made anew, delete %s and start the agent again", s.Dir)
		}
		next.Map, next.Authority = *got.Map, got.Map.Key
	}
	if got.Certificate == "" && got.Map == nil {
		return every, false, nil
	}
	if !next.Address.IsValid() || !network.Network.Contains(next.Address.Addr()) {
		return every, false, fleet.Errorf(fleet.Invalid, "cannot use the server's answer for the mesh: its address is not in its network")
	}
	text, err := json.Marshal(next)
	if err == nil {
		err = atomicfile.WriteFile(s.path(), text, 0o600)
	}
	if err != nil {
		return every, false, fmt.Errorf("cannot keep the mesh's state: %w", err)
	}
	s.state, s.network = next, network
	return every, true, nil
}

// paths are how the machine reaches others.
func (s *Service) paths(ctx context.Context, lan []netip.Prefix) (all []mesh.Path) {
	status, err := s.process.Status(ctx)
	if err != nil {
		return nil
	}
	for _, p := range status.Peers {
		if !p.Hub && len(p.Address) > 0 && len(all) < mesh.MaxPaths {
			all = append(all, mesh.Path{Address: p.Address[0], Direct: p.Direct(), Reason: string(p.Why(lan)), Via: p.Via()})
		}
	}
	return all
}

// refused takes the machine out of the mesh if the server says that it is not in
// it. A server that does not answer changes nothing.
func (s *Service) refused(ctx context.Context, err error) error {
	code := fleet.CodeOf(err)
	if code != fleet.Denied && code != fleet.NotFound {
		return err
	}
	s.denied = true
	s.state, s.network = State{}, mesh.Map{}
	if rerr := os.Remove(s.path()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return errors.Join(err, s.process.Stop(ctx))
}

func (s *Service) path() string { return filepath.Join(s.Dir, "state.json") }

// load reads the state of this host.
func (s *Service) load() error {
	state, network, err := Load(s.Dir)
	if err != nil || state.HostID != s.HostID {
		return err
	}
	s.state, s.network = state, network
	return nil
}

// Load reads what is kept in a folder; nothing is no error.
func Load(dir string) (state State, network mesh.Map, err error) {
	path := filepath.Join(dir, "state.json")
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, network, nil
	}
	var text []byte
	if err == nil && info.Size() <= maxState {
		text, err = os.ReadFile(path)
	}
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err == nil {
		network, err = state.Map.Open(state.Authority)
	}
	if err != nil {
		return State{}, network, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return state, network, nil
}
