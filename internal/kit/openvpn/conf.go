package openvpn

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Files of a server's folder, as its configuration names them.
const (
	ConfFile   = "server.conf"
	CAFile     = "ca.crt"
	CertFile   = "server.crt"
	KeyFile    = "server.key"
	CRLFile    = "crl.pem"
	SealFile   = "tls-crypt-v2.key"
	SocketFile = "management.sock"
)

// Ciphers are those of the data channel: none without authentication.
const Ciphers = "AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305"

// MinMTU and MaxMTU bound the packets inside a tunnel, in bytes: what every host of IPv4
// takes whole, and what needs no larger frames outside.
const MinMTU, MaxMTU = 576, 1500

// Server is the configuration of an openvpn that serves.
type Server struct {
	Device  string       // of the kernel, such as tun0
	UDP     bool         // else TCP
	Local   netip.Addr   // where it listens; invalid is everywhere
	Port    uint16       // where it listens
	Network netip.Prefix // of IPv4; its first address is the server's own
	// Ping is how many seconds of silence there may be before a sign of life is
	// sent, Dead after how many a client counts as gone; openvpn doubles that here.
	Ping, Dead int
	MaxClients int
	// MTU is how many bytes a packet inside may have; 0 is openvpn's 1500. Clients are
	// told the same.
	MTU int
	// Between lets clients talk with each other.
	Between bool
	// Verbosity of its log, 0 to 11.
	Verbosity int
}

// Render makes the configuration. It names no program and allows none.
func (s Server) Render() (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("cannot make openvpn's configuration: "+format, args...)
	}
	switch {
	case !deviceName.MatchString(s.Device):
		return fail("%.40q is no name of a device", s.Device)
	case !s.Network.IsValid() || !s.Network.Addr().Is4() || s.Network != s.Network.Masked() || s.Network.Bits() < 8 || s.Network.Bits() > 29:
		return fail("%s is no network of IPv4 with 8 to 29 bits", s.Network)
	case s.Port == 0:
		return fail("there is no port")
	case s.Ping < 1 || s.Dead < 2*s.Ping || s.Dead > 3600:
		return fail("keepalive %d %d: the second is at least twice the first, and at most 3600", s.Ping, s.Dead)
	case s.MaxClients < 1 || s.MaxClients > 65536:
		return fail("%d clients are not between 1 and 65536", s.MaxClients)
	case s.MTU != 0 && (s.MTU < MinMTU || s.MTU > MaxMTU):
		return fail("the mtu %d is not between %d and %d", s.MTU, MinMTU, MaxMTU)
	case s.Verbosity < 0 || s.Verbosity > 11:
		return fail("the verbosity %d is not between 0 and 11", s.Verbosity)
	}
	proto := "tcp-server"
	if s.UDP {
		proto = "udp"
	}
	lines := []string{"dev " + s.Device, "dev-type tun", "topology subnet"}
	if s.Local.IsValid() {
		if s.Local.Is6() {
			proto = strings.Replace(proto, "udp", "udp6", 1)
			proto = strings.Replace(proto, "tcp-", "tcp6-", 1)
		}
		lines = append(lines, "local "+s.Local.WithZone("").String())
	}
	lines = append(lines,
		"proto "+proto,
		"port "+strconv.Itoa(int(s.Port)),
		"server "+s.Network.Addr().String()+" "+Mask(s.Network.Bits())+" nopool",
		"keepalive "+strconv.Itoa(s.Ping)+" "+strconv.Itoa(s.Dead),
		"max-clients "+strconv.Itoa(s.MaxClients),
		"persist-key", "persist-tun",
		"ca "+CAFile, "cert "+CertFile, "key "+KeyFile, "dh none",
		"crl-verify "+CRLFile,
		s.seal(),
		"tls-version-min 1.2",
		"remote-cert-tls client", "verify-client-cert require",
		"data-ciphers "+Ciphers,
		"management "+SocketFile+" unix",
		"management-hold", "management-client-auth", "auth-user-pass-optional",
		"script-security 0",
		"verb "+strconv.Itoa(s.Verbosity), "mute 20",
	)
	if s.UDP {
		lines = append(lines, "explicit-exit-notify 1")
	}
	if s.MTU != 0 {
		lines = append(lines, "tun-mtu "+strconv.Itoa(s.MTU))
	}
	if s.Between {
		lines = append(lines, "client-to-client")
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// seal has the server answer to those who have a key of its own making. Over UDP anybody
// can put another's address on such a packet, and repeat it: then a client counts when
// it has sent back a cookie, and the server keeps nothing until then. TCP knows who
// calls.
func (s Server) seal() string {
	if s.UDP {
		return "tls-crypt-v2 " + SealFile + " force-cookie"
	}
	return "tls-crypt-v2 " + SealFile
}

// Mask is the netmask of so many bits.
func Mask(bits int) string {
	m := ^uint32(0) << (32 - bits)
	if bits == 0 {
		m = 0
	}
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// Push is what a client gets that is let in.
type Push struct {
	Address netip.Addr // its own
	Bits    int        // of the network that it is in
	Routes  []netip.Prefix
	DNS     []netip.Addr
	Search  []string // domains, lower case
}

// Lines are the client's part of a configuration.
func (p Push) Lines() ([]string, error) {
	if !p.Address.Is4() || p.Bits < 8 || p.Bits > 30 {
		return nil, fmt.Errorf("cannot let a client in: %s/%d is no address of IPv4", p.Address, p.Bits)
	}
	lines := []string{"ifconfig-push " + p.Address.String() + " " + Mask(p.Bits)}
	for _, r := range p.Routes {
		if !r.IsValid() || r != r.Masked() {
			return nil, fmt.Errorf("cannot let a client in: %s is no route", r)
		}
		if r.Addr().Is4() {
			lines = append(lines, `push "route `+r.Addr().String()+" "+Mask(r.Bits())+`"`)
		} else {
			lines = append(lines, `push "route-ipv6 `+r.String()+`"`)
		}
	}
	for _, a := range p.DNS {
		if !a.IsValid() || a.Zone() != "" {
			return nil, fmt.Errorf("cannot let a client in: %s is no address of a DNS server", a)
		}
		word := "DNS"
		if a.Is6() {
			word = "DNS6"
		}
		lines = append(lines, `push "dhcp-option `+word+" "+a.String()+`"`)
	}
	for _, d := range p.Search {
		if len(d) > 253 || !domainName.MatchString(d) {
			return nil, fmt.Errorf("cannot let a client in: %.60q is no domain", d)
		}
		lines = append(lines, `push "dhcp-option DOMAIN `+d+`"`)
	}
	return lines, nil
}
