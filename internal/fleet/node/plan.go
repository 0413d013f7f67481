package node

import (
	"fmt"
	"iter"
	"math/big"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxBits is how many bits a range may have for nodes: 65,536 addresses, each of
// which has a name in a zone transfer.
const maxBits = 16

// Plan is the addresses of a node type, and their names.
type Plan struct {
	prefix  netip.Prefix
	pattern string
	domain  string
}

// DefaultPattern makes the names of a node type that has none of its own.
func DefaultPattern(nodeType string) string { return nodeType + "-{a}-{b}" }

// NewPlan reads a plan: a range such as 10.134.0.0/16, a pattern such as
// vnode-{a}-{b}, and a domain such as grid.example.org. {a} and {b} are the last
// two bytes of the address, decimal, without zeros before them; a range of at
// most 256 addresses can do with {b}.
func NewPlan(addressRange, pattern, domain string) (*Plan, error) {
	p, err := netip.ParsePrefix(addressRange)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() || p.String() != addressRange {
		return nil, fleet.Errorf(fleet.Invalid, "%q is not an address range: it is written like 10.134.0.0/16, with zeros in the part of the nodes", addressRange)
	}
	switch bits := p.Addr().BitLen() - p.Bits(); {
	case bits > maxBits:
		return nil, fleet.Errorf(fleet.Invalid, "the address range %s is too large: nodes have at most the last %d bits", addressRange, maxBits)
	case bits < 2:
		return nil, fleet.Errorf(fleet.Invalid, "the address range %s has no room for a node", addressRange)
	}
	if err := validPattern(pattern, p); err != nil {
		return nil, err
	}
	if err := ValidDomain(domain); err != nil {
		return nil, err
	}
	if len(pattern)+len(domain)+1 > 200 {
		return nil, fleet.Errorf(fleet.Invalid, "the name %s.%s is too long", pattern, domain)
	}
	return &Plan{p, pattern, domain}, nil
}

var (
	shape  = regexp.MustCompile(`^[a-z]([a-z0-9-]|\{[ab]\})*$`)
	domain = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)
	digits = regexp.MustCompile(`[0-9]+|\{[ab]\}`)
	crowd  = regexp.MustCompile(`[0-9}]\{|\}[0-9]`)
)

// ValidDomain checks a domain: labels in lower case, no dot at the end.
func ValidDomain(name string) error {
	if len(name) > 253 || !domain.MatchString(name) {
		return fleet.Errorf(fleet.Invalid, "%q is not a domain: it is written like grid.example.org, in lower case and without a dot at the end", name)
	}
	return nil
}

func validPattern(pattern string, p netip.Prefix) error {
	bad := func(why string) error {
		return fleet.Errorf(fleet.Invalid, "%q is not a name pattern such as vnode-{a}-{b}: %s", pattern, why)
	}
	switch {
	case len(pattern) > 50 || !shape.MatchString(pattern):
		return bad("it is a lower-case letter, then letters, digits, -, {a} and {b}")
	case strings.HasSuffix(pattern, "-"):
		return bad("a name does not end with -")
	case crowd.MatchString(pattern):
		return bad("a letter or - must stand between numbers, so that a name can be read back")
	case strings.Count(pattern, "{b}") != 1 || strings.Count(pattern, "{a}") > 1:
		return bad("it has {b} once, and {a} at most once")
	case !strings.Contains(pattern, "{a}") && p.Addr().BitLen()-p.Bits() > 8:
		return bad("the range has more than 256 addresses, so it needs {a} too")
	}
	return nil
}

// Prefix is the range of the plan.
func (p *Plan) Prefix() netip.Prefix { return p.prefix }

// Domain follows the names.
func (p *Plan) Domain() string { return p.domain }

// Server is the address of the server's end of the tunnels: the range's first.
func (p *Plan) Server() netip.Addr { return p.prefix.Addr().Next() }

// Has tells whether an address may be a node's: it is in the range, and is
// neither its first or last one nor the server's.
func (p *Plan) Has(a netip.Addr) bool {
	return p.prefix.Contains(a) && a != p.prefix.Addr() && a != p.Server() && a != Last(p.prefix)
}

// Label is the name of an address, without the domain.
func (p *Plan) Label(a netip.Addr) (string, bool) {
	if !p.Has(a) {
		return "", false
	}
	b := a.AsSlice()
	n := len(b)
	return strings.NewReplacer("{a}", strconv.Itoa(int(b[n-2])), "{b}", strconv.Itoa(int(b[n-1]))).Replace(p.pattern), true
}

// Name is the fully qualified name of an address.
func (p *Plan) Name(a netip.Addr) (string, bool) {
	label, ok := p.Label(a)
	return label + "." + p.domain, ok
}

// Address is the address of a fully qualified name in lower case: the inverse of
// Name. A number that is written in another way (vnode-07-38) is no name.
func (p *Plan) Address(name string) (netip.Addr, bool) {
	label, ok := strings.CutSuffix(name, "."+p.domain)
	if !ok {
		return netip.Addr{}, false
	}
	b := p.prefix.Addr().AsSlice()
	n := len(b)
	rest := label
	for pattern := p.pattern; pattern != ""; {
		fixed, _, _ := strings.Cut(pattern, "{")
		if rest, ok = strings.CutPrefix(rest, fixed); !ok {
			return netip.Addr{}, false
		}
		if pattern = pattern[len(fixed):]; pattern == "" {
			break
		}
		end := 0
		for end < len(rest) && end < 3 && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		v, err := strconv.ParseUint(rest[:end], 10, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		if pattern[1] == 'a' {
			b[n-2] = byte(v)
		} else {
			b[n-1] = byte(v)
		}
		rest, pattern = rest[end:], pattern[len("{a}"):]
	}
	a, _ := netip.AddrFromSlice(b)
	if back, ok := p.Label(a); !ok || back != label { // zeros before a number, or out of the range
		return netip.Addr{}, false
	}
	return a, true
}

// All are the addresses that nodes may have, in order.
func (p *Plan) All() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := p.Server().Next(); p.Has(a); a = a.Next() {
			if !yield(a) {
				return
			}
		}
	}
}

// Room is how many addresses there are for nodes.
func (p *Plan) Room() int { return 1<<(p.prefix.Addr().BitLen()-p.prefix.Bits()) - 3 }

// Clashes says why two plans cannot be side by side, "" if they can: an address
// would have two names, or a name two addresses. Equal plans share their
// addresses.
func (p *Plan) Clashes(q *Plan) string {
	switch {
	case *p == *q:
		return ""
	case p.prefix.Overlaps(q.prefix):
		return fmt.Sprintf("its range %s overlaps %s", p.prefix, q.prefix)
	case p.domain == q.domain && digits.ReplaceAllString(p.pattern, "#") == digits.ReplaceAllString(q.pattern, "#"):
		return fmt.Sprintf("its names %s.%s can be those of %s", p.pattern, p.domain, q.pattern)
	}
	return ""
}

// Last is the last address of a range.
func Last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	host := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
	host.Sub(host, big.NewInt(1)).Or(host, new(big.Int).SetBytes(b))
	a, _ := netip.AddrFromSlice(host.FillBytes(b))
	return a
}

// At is the n-th address that a node may have, from 0 to below Room.
func (p *Plan) At(n int) netip.Addr {
	b := p.prefix.Addr().AsSlice()
	n += 2 // the range's own, and the server's
	b[len(b)-1] |= byte(n)
	b[len(b)-2] |= byte(n >> 8)
	a, _ := netip.AddrFromSlice(b)
	return a
}
