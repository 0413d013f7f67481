// Package nebula configures and steers a nebula that runs as a process of its
// own: the program fernwerk-mesh, which is small, and which alone links nebula.
// An agent that is in no mesh pays nothing for one.
//
// A mesh has one folder, mode 0700:
//
//	config.yaml  made of a [Config], mode 0600
//	host.key     the private key, which never leaves; see [NewKey]
//	mesh.sock    where the process answers; see [Control]
//	mesh.log     what it said last
//
// The configuration is written as JSON, which is YAML too, so that no text can
// become a line of its own; and every value has a type or a syntax. A process that
// runs is told to read its folder again: tunnels stay, what may no longer be there
// is cut. It outlives who started it if that dies, and is found again by its
// socket.
package nebula

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// The names in a mesh's folder.
const (
	ConfigFile = "config.yaml"
	KeyFile    = "host.key"
	SocketFile = "mesh.sock"
	LogFile    = "mesh.log"
)

// MaxText bounds certificates and configurations, in bytes.
const MaxText = 16 << 20

// Config is a configuration. What is not in it is the same for every process.
type Config struct {
	CA          string // PEM, one or more
	Certificate string // PEM, of the key in the folder
	// Blocked are fingerprints of certificates that count no more, whatever stands
	// in them.
	Blocked []string
	// Hub is a lighthouse and relay; Bare a hub without a network interface.
	Hub, Bare bool
	// Lighthouses are mesh addresses of hubs; each is in Static.
	Lighthouses []netip.Addr
	// Static says where nodes are, or may be, as HOST:PORT.
	Static map[netip.Addr][]string
	Port   int
	Device string
	// Preferred are networks whose addresses are tried before others: those that
	// this machine is in.
	Preferred []netip.Prefix
	// Own are this machine's addresses outside of the mesh: no other node is there, also
	// if one has the same in its LAN.
	Own []netip.Addr
	// Inbound is who may open a connection to this machine; nobody else may.
	Inbound []Rule
	// Peers are mesh addresses of nodes that are in the mesh, for a machine where
	// another tunnel has the same network; see package steer.
	Peers []netip.Addr
	// Through are networks of IPv4 that are reached through the hub Gate, or, at a hub,
	// that it passes on to: the mesh's own network for who is in another tunnel.
	Through []netip.Prefix
	Gate    netip.Addr
}

// The ports of UDP, inside of the mesh, of what goes through the hub, and of questions
// whether somebody is there.
const (
	PassPort  = 4243
	ProbePort = 4244
)

// Rule lets connections in.
type Rule struct {
	Proto string // any, tcp, udp or icmp
	Ports string // any, a number, or a range such as 8000-8100
	Group string // of the other side's certificate; any for everybody of the mesh
}

var (
	fingerprint = regexp.MustCompile(`^[0-9a-f]{64}$`)
	device      = regexp.MustCompile(`^[a-z][a-z0-9]{0,14}$`)
	ports       = regexp.MustCompile(`^(any|[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)$`)
	group       = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)
	place       = regexp.MustCompile(`^([A-Za-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}$`)
	protos      = map[string]bool{"any": true, "tcp": true, "udp": true, "icmp": true}
)

// Valid refuses a rule that nebula would read in another way, or not at all.
func (r Rule) Valid() error {
	if !protos[r.Proto] || !ports.MatchString(r.Ports) || !group.MatchString(r.Group) {
		return fmt.Errorf("%q for %q on ports %q is no rule of a firewall", r.Proto, r.Group, r.Ports)
	}
	return nil
}

// ValidPlace refuses what is not HOST:PORT.
func ValidPlace(at string) error {
	if !place.MatchString(at) {
		return fmt.Errorf("%.100q is not HOST:PORT", at)
	}
	return nil
}

func (c Config) check() error {
	for _, text := range []string{c.CA, c.Certificate} {
		if !strings.HasPrefix(text, "-----BEGIN NEBULA CERTIFICATE") || len(text) > MaxText {
			return errors.New("a certificate is missing")
		}
	}
	for _, f := range c.Blocked {
		if !fingerprint.MatchString(f) {
			return fmt.Errorf("%.100q is no fingerprint", f)
		}
	}
	for a, at := range c.Static {
		if !a.IsValid() || len(at) == 0 {
			return errors.New("a place of a node is missing")
		}
		for _, p := range at {
			if err := ValidPlace(p); err != nil {
				return err
			}
		}
	}
	for _, a := range c.Lighthouses {
		if len(c.Static[a]) == 0 {
			return fmt.Errorf("nobody says where the lighthouse %v is", a)
		}
	}
	for _, r := range c.Inbound {
		if err := r.Valid(); err != nil {
			return err
		}
	}
	for _, p := range c.Through {
		if !p.IsValid() || p != p.Masked() || !p.Addr().Is4() || !c.Hub && !c.Gate.Is4() {
			return fmt.Errorf("%v is no network that is reached through %v", p, c.Gate)
		}
	}
	if c.Port < 0 || c.Port > 65535 || !device.MatchString(c.Device) {
		return fmt.Errorf("port %d and device %q are not right", c.Port, c.Device)
	}
	return nil
}

// OwnKey is what the process reads itself of a configuration, beside nebula.
const OwnKey = "fernwerk"

type m = map[string]any

// Render makes the text for a process whose folder is dir.
func (c Config) Render(dir string) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("cannot configure the mesh: %w", err)
	}
	static, inbound := m{}, []m{}
	for a, at := range c.Static {
		static[a.String()] = at
	}
	for _, r := range c.Inbound {
		rule := m{"proto": r.Proto, "port": r.Ports}
		if r.Group == "any" {
			rule["host"] = "any"
		} else {
			rule["group"] = r.Group
		}
		inbound = append(inbound, rule)
	}
	lighthouse := m{"am_lighthouse": c.Hub, "interval": 10, // so long a node may take to find a hub that took another's place

		"local_allow_list": m{"interfaces": m{c.Device: false, "tun.*": false, "lo": false, "docker.*": false, "virbr.*": false}}}
	inbound = append(inbound, m{"proto": "udp", "port": strconv.Itoa(ProbePort), "host": "any"})
	gate := ""
	if c.Gate.IsValid() {
		gate = c.Gate.String()
	}
	if len(c.Own) > 0 {
		remote := m{"0.0.0.0/0": true, "::/0": true}
		for _, a := range c.Own {
			remote[netip.PrefixFrom(a, a.BitLen()).String()] = false
		}
		lighthouse["remote_allow_list"] = remote
	}
	relay := m{"am_relay": c.Hub, "use_relays": !c.Hub}
	if !c.Hub {
		lighthouse["hosts"], relay["relays"] = texts(c.Lighthouses), texts(c.Lighthouses)
	}
	all := m{
		"pki": m{"ca": c.CA, "cert": c.Certificate, "key": filepath.Join(dir, KeyFile), "blocklist": append([]string{}, c.Blocked...),
			"disconnect_invalid": true},
		"static_host_map": static, "static_map": m{"network": "ip"},
		"lighthouse": lighthouse, "relay": relay,
		// Small buffers cost most of the throughput.
		"listen": m{"host": "::", "port": c.Port, "read_buffer": 10 << 20, "write_buffer": 10 << 20, "send_recv_error": "private",
			// Whoever has, in a LAN here, the address that a node has in its own would end the relayed tunnel with it.
			"accept_recv_error": "never"},
		"punchy":           m{"punch": true, "respond": true, "delay": "1s", "respond_delay": "2s"},
		"preferred_ranges": texts(c.Preferred),
		"tun":              m{"disabled": c.Bare, "dev": c.Device, "mtu": 1300, "drop_multicast": true, "drop_local_broadcast": true},
		// A relayed path is left for a direct one within some packets, not thousands.
		"counters": m{"try_promote": 20, "requery_every_packets": 50},
		"timers":   m{"connection_alive_interval": 4, "pending_deletion_interval": 3},
		"logging":  m{"level": "info", "format": "text"},
		"firewall": m{"outbound": []m{{"proto": "any", "port": "any", "host": "any"}}, "inbound": inbound},
		OwnKey:     m{"peers": texts(c.Peers), "through": texts(c.Through), "gate": gate},
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", " ")
	if err := e.Encode(all); err != nil {
		return nil, fmt.Errorf("cannot configure the mesh: %w", err)
	}
	return out.Bytes(), nil
}

func texts[T fmt.Stringer](all []T) []string {
	out := []string{}
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

const keyType = "NEBULA X25519 PRIVATE KEY"

// Key is the public key of a folder, whose private key is made if there is none.
// again makes another one.
func Key(dir string, again bool) (public []byte, err error) {
	path := filepath.Join(dir, KeyFile)
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("cannot use the mesh's key %s: %w", path, err) }
	text, err := os.ReadFile(path)
	switch {
	case err == nil && !again:
		block, rest := pem.Decode(text)
		if block == nil || block.Type != keyType || len(bytes.TrimSpace(rest)) > 0 {
			return fail(errors.New("it is none"))
		}
		key, err := ecdh.X25519().NewPrivateKey(block.Bytes)
		if err != nil {
			return fail(err)
		}
		return key.PublicKey().Bytes(), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fail(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return fail(err)
	}
	if err := atomicfile.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: key.Bytes()}), 0o600); err != nil {
		return fail(err)
	}
	return key.PublicKey().Bytes(), nil
}
