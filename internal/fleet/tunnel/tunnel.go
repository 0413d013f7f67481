// Package tunnel is the configuration of one OpenVPN client: made by the server
// of a tunnel's few settings, and judged by the machine before it is written.
//
// OpenVPN runs programs that its configuration names, as root. What a server says
// about a tunnel is data, so neither side knows a word for it: only the lines of
// [words] exist, the rest is refused when it is rendered and again when it is
// read. Encryption is authenticated always; the seed's `cipher none` is gone.
package tunnel

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// MaxText bounds a configuration, in bytes.
const MaxText = 16 << 10

// Settings are what an administrator says of a tunnel.
type Settings struct {
	Name   string   // a word, see [enrol.ValidTunnel]
	Remote string   // the host that clients call
	Others []string // hosts that they call when that does not answer, in order
	Port   int      // 0 is the seed's 4242
	Proto  string   // tcp or udp; "" is tcp
	Extra  []string // further lines, of those that [words] has
	MTU    int      // bytes of a packet inside; 0 is OpenVPN's 1500
	// Served says that Fernwerk runs the tunnel's server: clients know it by its name,
	// and have a key for it.
	Served bool
}

// ServerName is the name in the certificate of a tunnel's server, where Fernwerk
// runs it. No other certificate of the authority has it, so that no depot server can
// take its place.
func ServerName(tunnel string) string { return tunnel + ".tunnel.fernwerk" }

// SealFile is where a client keeps its key of tls-crypt-v2.
const SealFile = "tls-crypt-v2.key"

// Request is what a host sends for a tunnel's credentials, Answer what it gets.
type Request struct {
	CSR string `json:"csr"`
}

// Answer is what a host gets. Its certificate's key never left the machine.
type Answer struct {
	Chain  string `json:"chain"`  // PEM
	CA     string `json:"ca"`     // PEM
	Config string `json:"config"` // for OpenVPN; see [Check]
	// Seal is the client's key of tls-crypt-v2, where Fernwerk runs the tunnel: it lets
	// nobody in, but without it the server does not even answer.
	Seal string `json:"tlsCryptV2,omitempty"`
}

const (
	maxHosts   = 16
	usualPort  = 4242
	usualProto = "tcp"
)

var (
	dnsName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	num     = `[0-9]{1,9}`
	address = `[0-9a-fA-F.:]{2,45}`
)

// words are the lines that a configuration may have, by their first word: what
// must follow it. None of them names a program, a file other than our own, or a
// listening socket.
var words = map[string]*regexp.Regexp{
	"client": exactly(``), "nobind": exactly(``), "persist-key": exactly(``), "persist-tun": exactly(``), "float": exactly(``),
	"dev":                     exactly(`tun[0-9]{0,3}`),
	"proto":                   exactly(`(tcp|udp)`),
	"remote":                  exactly(`[A-Za-z0-9.:-]{1,253} [1-9][0-9]{0,4}`),
	"ca":                      exactly(`ca\.crt`),
	"cert":                    exactly(`client\.crt`),
	"key":                     exactly(`client\.key`),
	"tls-crypt-v2":            exactly(`tls-crypt-v2\.key`),
	"remote-cert-tls":         exactly(`server`),
	"tls-version-min":         exactly(`1\.[23]`),
	"data-ciphers":            exactly(`(AES-256-GCM|AES-128-GCM|CHACHA20-POLY1305)(:(AES-256-GCM|AES-128-GCM|CHACHA20-POLY1305))*`),
	"keepalive":               exactly(num + ` ` + num),
	"verify-x509-name":        exactly(`[A-Za-z0-9.-]{1,253} name`),
	"auth":                    exactly(`SHA(256|384|512)`),
	"route":                   exactly(address + `( ` + address + `)?`),
	"route-ipv6":              exactly(address + `/` + num),
	"route-nopull":            exactly(``),
	"tun-mtu":                 exactly(num),
	"mssfix":                  exactly(num),
	"fragment":                exactly(num),
	"sndbuf":                  exactly(num),
	"rcvbuf":                  exactly(num),
	"reneg-sec":               exactly(num),
	"verb":                    exactly(num),
	"mute":                    exactly(num),
	"connect-retry":           exactly(num + `( ` + num + `)?`),
	"connect-timeout":         exactly(num),
	"server-poll-timeout":     exactly(num),
	"resolv-retry":            exactly(`(infinite|` + num + `)`),
	"explicit-exit-notify":    exactly(num),
	"ping-timer-rem":          exactly(``),
	"socket-flags":            exactly(`TCP_NODELAY`),
	"allow-recursive-routing": exactly(``),
}

func exactly(pattern string) *regexp.Regexp { return regexp.MustCompile(`^` + pattern + `$`) }

// needed are the lines without which a tunnel would not be what is promised.
var needed = []string{"client", "dev", "proto", "remote", "ca", "cert", "key", "remote-cert-tls", "tls-version-min", "data-ciphers", "keepalive"}

// Check checks the settings.
func (s Settings) Check() error {
	_, err := s.Render()
	return err
}

// Render makes the configuration.
func (s Settings) Render() (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("cannot make tunnel %q: %w", s.Name, err) }
	if err := enrol.ValidTunnel(s.Name); err != nil {
		return fail(err)
	}
	if s.Name == mesh.Tunnel {
		return fail(fleet.Errorf(fleet.Invalid, "the name is the mesh's"))
	}
	hosts := append([]string{s.Remote}, s.Others...)
	for i, host := range hosts {
		if _, err := netip.ParseAddr(host); err != nil && (len(host) > 253 || !dnsName.MatchString(host)) {
			return fail(fleet.Errorf(fleet.Invalid, "remote %q is not a DNS name or an IP address", host))
		}
		if slices.Contains(hosts[:i], host) {
			return fail(fleet.Errorf(fleet.Invalid, "remote %q stands twice", host))
		}
	}
	if len(hosts) > maxHosts {
		return fail(fleet.Errorf(fleet.Invalid, "there are more than %d hosts to call", maxHosts))
	}
	port, proto := s.Port, s.Proto
	if port == 0 {
		port = usualPort
	}
	if proto == "" {
		proto = usualProto
	}
	if port < 1 || port > 65535 {
		return fail(fleet.Errorf(fleet.Invalid, "port %d is not between 1 and 65535", port))
	}
	lines := []string{"client", "dev tun", "proto " + proto}
	for _, host := range hosts {
		lines = append(lines, "remote "+host+" "+strconv.Itoa(port))
	}
	lines = append(lines, append([]string{"nobind", "ca ca.crt", "cert client.crt", "key client.key", "remote-cert-tls server", "tls-version-min 1.2",
		"data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305", "keepalive 10 60", "persist-key", "persist-tun"}, s.own()...)...)
	lines = append(lines, s.soon()...)
	if proto == "tcp" { // else small packets wait for the answers to others
		lines = append(lines, "socket-flags TCP_NODELAY")
	}
	lines = append(lines, s.Extra...)
	text := strings.Join(lines, "\n") + "\n"
	if err := Check(text); err != nil {
		return fail(err)
	}
	return text, nil
}

// soon are the lines by which a client tries again that had no answer, as it moved to
// another network meanwhile, or leaves a server that does not answer for the next:
// openvpn's own patience is two minutes, and rises to five.
func (s Settings) soon() (lines []string) {
	for _, line := range []string{"server-poll-timeout 10", "connect-retry 1 10", "resolv-retry 5"} {
		word, _, _ := strings.Cut(line, " ")
		if !slices.ContainsFunc(s.Extra, func(e string) bool { return strings.HasPrefix(e, word+" ") }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// own are the lines of a tunnel that Fernwerk runs.
func (s Settings) own() (lines []string) {
	if !s.Served {
		return nil
	}
	lines = []string{"tls-crypt-v2 " + SealFile, "verify-x509-name " + ServerName(s.Name) + " name"}
	if s.Proto == "udp" {
		lines = append(lines, "explicit-exit-notify 1")
	}
	if s.MTU != 0 {
		lines = append(lines, "tun-mtu "+strconv.Itoa(s.MTU))
	}
	return lines
}

// Check judges a configuration that came from a server.
func Check(text string) error {
	if len(text) > MaxText || !strings.HasSuffix(text, "\n") {
		return fleet.Errorf(fleet.Invalid, "the configuration is too long, or its end is missing")
	}
	var seen []string
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		pattern := words[word]
		if pattern == nil || !pattern.MatchString(rest) || rest == "" && strings.HasSuffix(line, " ") {
			return fleet.Errorf(fleet.Denied, "line %d of the configuration, %.100q, is not among those that a tunnel may have", i+1, line)
		}
		if slices.Contains(seen, word) && !strings.HasPrefix(word, "route") && word != "remote" {
			return fleet.Errorf(fleet.Denied, "line %d of the configuration: %s stands twice", i+1, word)
		}
		seen = append(seen, word)
	}
	for _, word := range needed {
		if !slices.Contains(seen, word) {
			return fleet.Errorf(fleet.Denied, "the configuration has no line %s", word)
		}
	}
	return nil
}
