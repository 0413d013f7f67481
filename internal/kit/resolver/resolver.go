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
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// Most is how many servers and how many domains a part may have.
const Most = 8

const (
	patience = time.Minute // for others of this machine who tell
	maxFile  = 64 << 10
	maxOwner = 100
	standard = "/etc/resolv.conf"
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
	if s, err := r.load(); err == nil && s.Writing == nil {
		if _, there := s.part(owner); !there {
			return nil
		}
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

// Keep puts back what others took out of resolv.conf, and ends what somebody died over.
// It costs a look where neither is.
func (r Resolver) Keep(ctx context.Context) error {
	s, err := r.load()
	if err != nil || len(s.lines()) == 0 && s.Writing == nil {
		return err
	}
	if is, err := r.read(); err == nil && is == s.text(others(is)) && s.Writing == nil {
		return nil
	}
	return r.locked(ctx, func(s *state) error { return r.edit(s) })
}
