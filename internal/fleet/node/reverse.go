package node

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const hex = "0123456789abcdef"

// ReverseName is the name under in-addr.arpa or ip6.arpa that points to an
// address's name, without a dot at the end.
func ReverseName(a netip.Addr) string {
	b := a.Unmap().AsSlice()
	var s strings.Builder
	for i := len(b) - 1; i >= 0; i-- {
		if len(b) == 4 {
			s.WriteString(strconv.Itoa(int(b[i])) + ".")
			continue
		}
		s.Write([]byte{hex[b[i]&15], '.', hex[b[i]>>4], '.'})
	}
	if len(b) == 4 {
		return s.String() + "in-addr.arpa"
	}
	return s.String() + "ip6.arpa"
}

// ReverseAddress is the inverse of ReverseName, for a name in lower case.
func ReverseAddress(name string) (netip.Addr, bool) {
	var b []byte
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(rest, ".")
		for i := len(labels) - 1; i >= 0; i-- {
			v, err := strconv.ParseUint(labels[i], 10, 8)
			if err != nil {
				return netip.Addr{}, false
			}
			b = append(b, byte(v))
		}
		if len(b) != 4 {
			return netip.Addr{}, false
		}
	} else if rest, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		if len(rest) != 63 {
			return netip.Addr{}, false
		}
		for i := 62; i >= 0; i -= 4 {
			hi, lo := strings.IndexByte(hex, rest[i]), strings.IndexByte(hex, rest[i-2])
			if hi < 0 || lo < 0 {
				return netip.Addr{}, false
			}
			b = append(b, byte(hi<<4|lo))
		}
	}
	a, ok := netip.AddrFromSlice(b)
	return a, ok && ReverseName(a) == name
}

// ReverseZones are the zones that hold the reverse names of a range: one where
// it ends at a whole byte (in IPv6 a digit), else several, of the byte that it
// ends within. A range smaller than the last byte has that byte's whole zone
// (RFC 2317 is for who delegates parts of it).
func ReverseZones(p netip.Prefix) []string {
	step, total := 8, 32
	if p.Addr().Is6() {
		step, total = 4, 128
	}
	p = p.Masked()
	bits := min((p.Bits()+step-1)/step*step, total-step)
	labels := (total - bits) / step
	var zones []string
	first := netip.PrefixFrom(p.Addr(), bits).Masked().Addr()
	for a := first; ; {
		name := ReverseName(a)
		for range labels {
			_, name, _ = strings.Cut(name, ".")
		}
		zones = append(zones, name)
		a = Last(netip.PrefixFrom(a, bits)).Next()
		if !a.IsValid() || !p.Contains(a) {
			return zones
		}
	}
}

// Property splits a key=value for a scheduler. The syntax is narrow: it ends up
// on command lines and in SQL conditions of programs that are not ours.
func Property(text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || !propertyKey.MatchString(key) || !propertyValue.MatchString(value) {
		return "", "", fleet.Errorf(fleet.Invalid, "%q is not a scheduler's property: it is key=value, the key of lower-case letters, digits and _, the value of up to 200 letters, digits and ._:/@+-", text)
	}
	return key, value, nil
}
