// Package resolver tells a machine's resolver of the name servers that a network
// brings, and takes them back: systemd-resolved by resolvectl, resolvconf (Debian's
// or openresolv), or /etc/resolv.conf itself.
//
// Each who brings something is an owner with a [Part] of its own; parts of several
// owners stand side by side. A part is noted in a file before anybody is told, and
// forgotten after it was taken back. So whoever was killed in between finds it at the
// next start: [Resolver.Again] tells what is noted once more, [Resolver.Remove] takes
// it back. What was told outlives its network otherwise, and a machine that asks a
// server that it cannot reach may not even find the way back in.
//
// # resolv.conf
//
// Servers stand between two marks before everything else, and search domains between
// two marks at the end, together with those that the file names itself: of several
// lines of search the last one counts. What others wrote, also meanwhile, stays. A
// link is followed. The C library asks the first three servers only.
//
// Servers and names come from other machines. They are checked here, and are never
// part of a command's text.
package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

// The ways to tell a machine.
const (
	Auto       = "auto" // the first of these that the machine has
	Resolvectl = "resolvectl"
	Resolvconf = "resolvconf"
	File       = "file"
	None       = "none"
)

// Most is how many servers and how many domains a part may have.
const Most = 8

const (
	tellWithin = 10 * time.Second
	patience   = time.Minute // for others of this machine who tell
	maxFile    = 64 << 10
	maxOwner   = 100
	standard   = "/etc/resolv.conf"
)

var (
	deviceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)
	domainName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)
	ownerName  = regexp.MustCompile(`^[a-z][a-z0-9._-]*( [a-z0-9._-]+)?$`)
)

// ValidDevice tells whether a text is the name of a network device as we make them.
func ValidDevice(s string) bool { return deviceName.MatchString(s) }

// ValidDomain tells whether a text, in lower case, is a domain.
func ValidDomain(s string) bool { return len(s) <= 253 && domainName.MatchString(s) }

// Part is what one owner brings.
type Part struct {
	Owner   string       `json:"owner"`  // such as "tunnel vpns"
	Device  string       `json:"device"` // over which the servers are reached
	Servers []netip.Addr `json:"servers"`
	Search  []string     `json:"search"` // domains, the first one first
}

// Check refuses what may be told to nobody.
func (p Part) Check() error {
	switch {
	case !ownerName.MatchString(p.Owner) || len(p.Owner) > maxOwner:
		return fmt.Errorf("%q is no owner", p.Owner)
	case !ValidDevice(p.Device):
		return fmt.Errorf("%q is no network device", p.Device)
	case len(p.Servers) > Most || len(p.Search) > Most:
		return fmt.Errorf("there may be %d servers and %d domains", Most, Most)
	}
	for _, a := range p.Servers {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("%q is no server's address", a)
		}
	}
	for _, d := range p.Search {
		if !ValidDomain(d) {
			return fmt.Errorf("%q is no domain", d)
		}
	}
	return nil
}

// Noted is a part, and who was told of it.
type Noted struct {
	Part
	By string `json:"by"` // Resolvectl, Resolvconf or File
}

// Resolver is a machine's. Several processes may use one at once.
type Resolver struct {
	Dir  string // where parts are noted; it exists
	Path string // of resolv.conf; "" is /etc/resolv.conf
}

// choose is who is told: the rule, or the first that the machine has.
func choose(rule string) string {
	if rule != "" && rule != Auto {
		return rule
	}
	if runtime.GOOS != "linux" {
		return None // OpenVPN and the system do it themselves
	}
	if _, err := os.Stat("/run/systemd/resolve"); err == nil {
		if _, err := exec.LookPath("resolvectl"); err == nil {
			return Resolvectl
		}
	}
	if _, err := exec.LookPath("resolvconf"); err == nil {
		return Resolvconf
	}
	return File
}

// Apply tells the machine of a part, instead of the owner's earlier one, and returns
// who was told. A part without servers and domains is none.
func (r Resolver) Apply(ctx context.Context, rule string, p Part) (by string, err error) {
	by = choose(rule)
	if by == None || len(p.Servers) == 0 && len(p.Search) == 0 {
		return "", r.Remove(ctx, p.Owner)
	}
	if err := p.Check(); err != nil {
		return "", fmt.Errorf("cannot use the DNS servers of %.40q: %w", p.Owner, err)
	}
	err = r.locked(ctx, func(s *state) error {
		if was, there := s.part(p.Owner); there && (was.By != by || was.Device != p.Device) {
			if err := r.takeBack(ctx, s, was); err != nil {
				return err
			}
		}
		next := Noted{p, by}
		s.put(next)
		if err := r.save(*s); err != nil { // before anybody is told
			return err
		}
		if err := r.tell(ctx, s, next); err != nil {
			return errors.Join(err, r.takeBack(ctx, s, next))
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("cannot use the DNS servers of %s: %w", p.Owner, err)
	}
	return by, nil
}

// Again tells the machine of what is noted of an owner, as after a death between the
// note and the telling, or because others may have written resolv.conf anew. It
// returns who was told; nothing is no error.
func (r Resolver) Again(ctx context.Context, owner string) (by string, err error) {
	err = r.locked(ctx, func(s *state) error {
		p, there := s.part(owner)
		if !there {
			return nil
		}
		by = p.By
		return r.tell(ctx, s, p)
	})
	if err != nil {
		return "", fmt.Errorf("cannot use the DNS servers of %s: %w", owner, err)
	}
	return by, nil
}

// Remove takes an owner's part back; none is no error. What cannot be taken back
// stays noted.
func (r Resolver) Remove(ctx context.Context, owner string) error {
	if all, err := r.Parts(); err == nil && !slices.ContainsFunc(all, func(p Noted) bool { return p.Owner == owner }) {
		return nil
	}
	err := r.locked(ctx, func(s *state) error {
		if p, there := s.part(owner); there {
			return r.takeBack(ctx, s, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot forget the DNS servers of %s: %w", owner, err)
	}
	return nil
}

// Parts are those that are noted, in the order of their owners.
func (r Resolver) Parts() ([]Noted, error) {
	s, err := r.load()
	return s.Parts, err
}

// Keep puts back what others took out of resolv.conf. It costs a look if they did not.
func (r Resolver) Keep(ctx context.Context) error {
	s, err := r.load()
	if err != nil || len(s.lines()) == 0 {
		return err
	}
	if is, err := r.read(); err == nil && is == s.text(others(is)) {
		return nil
	}
	return r.locked(ctx, func(s *state) error { return r.edit(s) })
}

// tell tells of a part that is in the state.
func (r Resolver) tell(ctx context.Context, s *state, p Noted) error {
	switch p.By {
	case Resolvectl:
		dns := []string{"dns", p.Device}
		for _, a := range p.Servers {
			dns = append(dns, a.String())
		}
		if len(p.Servers) == 0 {
			dns = append(dns, "") // none, and not "show them"
		}
		if err := run(ctx, "", "resolvectl", dns...); err != nil {
			return err
		}
		domains := append([]string{"domain", p.Device}, p.Search...)
		if len(p.Search) == 0 {
			domains = append(domains, "")
		}
		return run(ctx, "", "resolvectl", domains...)
	case Resolvconf:
		return run(ctx, p.lines(), "resolvconf", "-a", p.Device+".fernwerk")
	case File:
		return r.edit(s)
	}
	return fmt.Errorf("%q is no way to tell of them", p.By)
}

// takeBack takes back a part of the state.
func (r Resolver) takeBack(ctx context.Context, s *state, p Noted) error {
	s.drop(p.Owner)
	var err error
	switch p.By {
	case Resolvectl:
		if _, gone := os.Stat("/sys/class/net/" + p.Device); gone == nil { // else it went with the device
			err = run(ctx, "", "resolvectl", "revert", p.Device)
		}
	case Resolvconf:
		err = run(ctx, "", "resolvconf", "-d", p.Device+".fernwerk")
	case File:
		err = r.edit(s)
	}
	if err != nil {
		return err // it stays noted
	}
	return r.save(*s)
}

// lines are a part in the form of resolv.conf.
func (p Part) lines() string {
	var b strings.Builder
	for _, a := range p.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(p.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(p.Search, " "))
	}
	return b.String()
}

func run(ctx context.Context, input, program string, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, tellWithin)
	defer stop()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.200q", program, err, out)
	}
	return nil
}

// state is what is noted.
type state struct {
	Parts []Noted `json:"parts"`
	// Writing is a resolv.conf that is being written in place, where it cannot be
	// replaced: who dies in the middle leaves neither the old text nor the new one.
	Writing *writing `json:"writing,omitempty"`
}

type writing struct {
	Was  string `json:"was"`  // all that it held
	Text string `json:"text"` // that is being written
}

func (s *state) part(owner string) (Noted, bool) {
	i := slices.IndexFunc(s.Parts, func(p Noted) bool { return p.Owner == owner })
	if i < 0 {
		return Noted{}, false
	}
	return s.Parts[i], true
}

func (s *state) put(p Noted) {
	s.drop(p.Owner)
	s.Parts = append(s.Parts, p)
	slices.SortFunc(s.Parts, func(a, b Noted) int { return strings.Compare(a.Owner, b.Owner) })
}

func (s *state) drop(owner string) {
	s.Parts = slices.DeleteFunc(slices.Clone(s.Parts), func(p Noted) bool { return p.Owner == owner })
}

func (r Resolver) note() string { return filepath.Join(r.Dir, "resolver.json") }

func (r Resolver) load() (s state, err error) {
	text, err := os.ReadFile(r.note())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	for _, p := range s.Parts {
		if err == nil {
			err = p.Check()
		}
	}
	if err != nil {
		return state{}, fmt.Errorf("cannot read %s: %w", r.note(), err)
	}
	return s, nil
}

func (r Resolver) save(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(r.note(), append(text, '\n'), 0o600)
}

// locked is for what changes the machine: one after the other.
func (r Resolver) locked(ctx context.Context, do func(*state) error) error {
	lock, err := filelock.Await(ctx, filepath.Join(r.Dir, "resolver.lock"), patience)
	if err != nil {
		return err
	}
	defer lock.Release()
	s, err := r.load()
	if err != nil {
		return err
	}
	return do(&s)
}
