// Package mesh is what a node and its server say to each other about the mesh, in
// which nodes talk to each other without the server between.
//
// A node asks again and again (POST /v1/mesh): with its public key, and where it
// is. It gets a certificate, which is good for a week and says its address and
// groups, and the [Map]: where the others are, who counts no more, and who may
// connect to whom. The mesh's authority signs the map. So a node that starts while
// the server is away takes the map that it has, and finds the others.
//
// What a node hears is checked where it is read: it ends in the configuration of a
// process that runs as root.
package mesh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits on what is said.
const (
	MaxMap     = 2 << 20 // bytes, of all nodes of a network
	MaxPlaces  = 8       // where a node says that it is
	maxBlocked = 100_000
)

// Life is how long a node's certificate is good: so long at most a node is in the
// mesh that was revoked, whatever the others hear.
const Life = 7 * 24 * time.Hour

// ServerGroup is the group of hubs in their certificates. No node type and no
// host group has a colon.
const ServerGroup = "fernwerk:server"

// Request is what a node sends.
type Request struct {
	Key []byte `json:"key"` // X25519, public
	// Holds is the fingerprint of its certificate, and Tag that of the map that it
	// has; "" for none.
	Holds string `json:"holds,omitempty"`
	Tag   string `json:"tag,omitempty"`
	// Since is when its mesh came up, in Unix milliseconds; 0: it is not up.
	Since int64 `json:"since,omitempty"`
	// Places are its addresses and port outside of the mesh; LAN the networks that
	// it is in.
	Places []netip.AddrPort `json:"places,omitempty"`
	LAN    []netip.Prefix   `json:"lan,omitempty"`
	// Paths are how it reaches others, for people to look at.
	Paths []Path `json:"paths,omitempty"`
	// Believes is the [Tag] of the authorities whose certificates it takes.
	Believes string `json:"believes,omitempty"`
}

// Path is how a node reaches another.
type Path struct {
	Address netip.Addr `json:"address"` // of the other
	Direct  bool       `json:"direct"`
	Reason  string     `json:"reason"` // a word of the node's program
	// Via is where packets go: the other's address and port, or the address in the mesh
	// of who passes them on; "" if the node does not know.
	Via string `json:"via,omitempty"`
}

// Tunnel is the mesh's name among tunnels.
const Tunnel = "mesh"

// Reach says in how many of its paths, each by its word, a node reaches others how.
func Reach(paths []string) string {
	count := map[string]int{}
	for _, p := range paths {
		count[p]++
	}
	var all []string
	for _, word := range []string{"direct", "relayed", "beside"} {
		if n := count[word]; n > 0 {
			all = append(all, strconv.Itoa(n)+" "+word)
		}
	}
	if all == nil {
		return "talks to nobody"
	}
	return strings.Join(all, ", ")
}

// Way is a path as people see it.
type Way struct {
	HostID      string
	Address     string
	Peer        string // the other's host id, "" if nobody has the address now
	PeerAddress string
	Path        string // direct, relayed, or none
	Via         string // see [Path]
	Why         string
	At          string // RFC 3339
}

// MaxPaths is how many a node tells; it may have more.
const MaxPaths = 200

// Answer is what it gets. Of a field that is empty nothing is new.
type Answer struct {
	Certificate string       `json:"certificate,omitempty"` // PEM
	Fingerprint string       `json:"fingerprint,omitempty"`
	NotAfter    time.Time    `json:"notAfter,omitzero"`
	Address     netip.Prefix `json:"address,omitzero"` // with the network's length
	Groups      []string     `json:"groups,omitempty"`
	Map         *Signed      `json:"map,omitempty"`
	// Every is when to ask again, in seconds.
	Every int `json:"every"`
}

// Signed is a map with the authority's word.
type Signed struct {
	Map       []byte `json:"map"` // JSON of a Map
	Key       []byte `json:"key"` // Ed25519
	Signature []byte `json:"signature"`
	// Heirs lead from the authorities of the past to this one.
	Heirs []Heir `json:"heirs,omitempty"`
}

// Map is a network as the server knew it.
type Map struct {
	Network netip.Prefix `json:"network"`
	CA      string       `json:"ca"` // PEM: whose certificates count
	Hubs    []Hub        `json:"hubs"`
	Nodes   []Node       `json:"nodes"`
	Blocked []string     `json:"blocked"` // fingerprints
	Allow   []Rule       `json:"allow"`
	Kinds   []Kind       `json:"kinds"`
	// Bridged says that hubs pass on to nodes of the network that are in another
	// tunnel and not in the mesh.
	Bridged bool `json:"bridged"`
}

// Hub is a lighthouse, which knows where nodes are, and a relay.
type Hub struct {
	Address netip.Addr `json:"address"`
	At      []string   `json:"at"` // HOST:PORT
	// Bare is one that is no end of a tunnel: nobody answers at its address in the mesh.
	Bare bool `json:"bare"`
}

// Node is another node.
type Node struct {
	HostID  string           `json:"hostId"`
	Address netip.Addr       `json:"address"`
	At      []netip.AddrPort `json:"at"`
}

// Rule lets connections in, at nodes of the group To, from nodes of the group
// From; "any" is everybody of the mesh.
type Rule struct {
	To    string `json:"to"`
	From  string `json:"from"`
	Proto string `json:"proto"` // any, tcp, udp or icmp
	Ports string `json:"ports"` // any, 22, 8000-8100
}

var (
	group  = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)
	ports  = regexp.MustCompile(`^(any|[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)$`)
	digest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	reason = regexp.MustCompile(`^[a-z]{1,16}$`)
	host   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
)

// ValidGroup tells whether a group can stand in a certificate and in a rule.
func ValidGroup(name string) bool { return group.MatchString(name) }

// Valid refuses a rule that means nothing.
func (r Rule) Valid() error {
	if !group.MatchString(r.To) || !group.MatchString(r.From) || !ports.MatchString(r.Ports) || !slices.Contains([]string{"any", "tcp", "udp", "icmp"}, r.Proto) {
		return fleet.Errorf(fleet.Invalid, "a rule of the mesh is written like to = \"vnode\", from = \"any\", proto = \"tcp\", ports = \"22\"; not like to %q, from %q, proto %q, ports %q", r.To, r.From, r.Proto, r.Ports)
	}
	return nil
}

// ValidPlace refuses what is not HOST:PORT.
func ValidPlace(at string) error {
	h, p, ok := split(at)
	if _, err := netip.ParseAddr(h); !ok || p == 0 || err != nil && !host.MatchString(h) {
		return fleet.Errorf(fleet.Invalid, "%.100q is not HOST:PORT", at)
	}
	return nil
}

// words begin what is signed: no certificate of the same authority does.
var words = []byte("fernwerk mesh map 1\n")

// Text is what the authority signs of a map.
func Text(m []byte) []byte { return slices.Concat(words, m) }

// Encode is a map as it is signed.
func (m Map) Encode() ([]byte, error) { return json.Marshal(m) }

// Tag names a map.
func Tag(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Open checks a map by the key of an authority, or of one that followed it, and reads
// it. Who has the map believes the key that it names from then on.
func (s Signed) Open(key []byte) (m Map, err error) {
	bad := func(why string) (Map, error) {
		return Map{}, fleet.Errorf(fleet.Denied, "cannot use the map of the mesh: %s", why)
	}
	switch {
	case len(s.Map) > MaxMap:
		return bad("it is too large")
	case len(s.Heirs) > MaxHeirs:
		return bad("it has too many heirs")
	case len(key) != ed25519.PublicKeySize || !s.follows(key):
		return bad("it is signed by another authority than the one known here")
	case !ed25519.Verify(s.Key, Text(s.Map), s.Signature):
		return bad("its signature is not right")
	}
	d := json.NewDecoder(bytes.NewReader(s.Map))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return bad("it cannot be read")
	}
	if back, err := m.Encode(); err != nil || !bytes.Equal(back, s.Map) {
		return bad("it is not written as it would be here")
	}
	return m, m.check()
}

func (m Map) check() error {
	bad := func(what string) error {
		return fleet.Errorf(fleet.Invalid, "cannot use the map of the mesh: %s", what)
	}
	if !m.Network.IsValid() || m.Network != m.Network.Masked() || len(m.Blocked) > maxBlocked {
		return bad("it has no network, or too many blocked certificates")
	}
	for _, h := range m.Hubs {
		if !m.Network.Contains(h.Address) || len(h.At) == 0 || len(h.At) > MaxPlaces {
			return bad("a hub is nowhere")
		}
		for _, at := range h.At {
			if err := ValidPlace(at); err != nil {
				return err
			}
		}
	}
	for _, n := range m.Nodes {
		if fleet.ValidHostID(n.HostID) != nil || !m.Network.Contains(n.Address) || len(n.At) > MaxPlaces {
			return bad("a node is nowhere")
		}
		for _, at := range n.At {
			if !ValidUnderlay(at) {
				return bad("a node is at no address")
			}
		}
	}
	for _, f := range m.Blocked {
		if !digest.MatchString(f) {
			return bad("what is blocked is no fingerprint")
		}
	}
	for _, r := range m.Allow {
		if err := r.Valid(); err != nil {
			return err
		}
	}
	if len(m.Kinds) > MaxKinds {
		return bad("it has too many node types")
	}
	for _, k := range m.Kinds {
		if err := k.check(); err != nil {
			return err
		}
	}
	return nil
}

// ValidUnderlay tells whether a node can be at an address.
func ValidUnderlay(at netip.AddrPort) bool {
	a := at.Addr()
	return at.IsValid() && at.Port() != 0 && a.Zone() == "" && !a.Is4In6() && !a.IsLoopback() && !a.IsMulticast() && !a.IsUnspecified() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// Check makes a request canonical, and refuses one that nobody means.
func (r *Request) Check() error {
	if len(r.Key) != 32 {
		return fleet.Errorf(fleet.Invalid, "cannot let the node into the mesh: its key has not 32 bytes")
	}
	if len(r.Places) > MaxPlaces || len(r.LAN) > MaxPlaces {
		return fleet.Errorf(fleet.TooLarge, "cannot let the node into the mesh: it is at more than %d places", MaxPlaces)
	}
	if r.Holds != "" && !digest.MatchString(r.Holds) || len(r.Tag) > 64 || len(r.Believes) > 64 {
		return fleet.Errorf(fleet.Invalid, "cannot let the node into the mesh: it does not say what it holds")
	}
	for _, at := range r.Places {
		if !ValidUnderlay(at) {
			return fleet.Errorf(fleet.Invalid, "cannot let the node into the mesh: nobody is at %v", at)
		}
	}
	for _, n := range r.LAN {
		if !n.IsValid() {
			return fleet.Errorf(fleet.Invalid, "cannot let the node into the mesh: its network is none")
		}
	}
	for _, p := range r.Paths {
		if !p.Address.IsValid() || p.Address.Zone() != "" || !reason.MatchString(p.Reason) || !validVia(p.Via) {
			return fleet.Errorf(fleet.Invalid, "cannot let the node into the mesh: a path of it leads nowhere")
		}
	}
	if len(r.Paths) > MaxPaths {
		return fleet.Errorf(fleet.TooLarge, "cannot let the node into the mesh: it has more than %d paths", MaxPaths)
	}
	if r.Since < 0 {
		return fleet.Errorf(fleet.Invalid, "cannot let the node into the mesh: it is up since no time")
	}
	return nil
}

// validVia tells whether a path may go through a place that a node names.
func validVia(text string) bool {
	if text == "" {
		return true
	}
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Zone() == ""
	}
	a, err := netip.ParseAddr(text)
	return err == nil && a.Zone() == ""
}

// split is HOST:PORT in its parts; an IPv6 address stands in brackets.
func split(at string) (host string, port uint16, ok bool) {
	i := strings.LastIndexByte(at, ':')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(at[i+1:], 10, 16)
	host = at[:i]
	if inside, v6 := strings.CutPrefix(host, "["); v6 {
		inside, v6 = strings.CutSuffix(inside, "]")
		a, err := netip.ParseAddr(inside)
		return inside, uint16(n), v6 && err == nil && a.Is6() && a.Zone() == ""
	}
	return host, uint16(n), err == nil && strconv.FormatUint(n, 10) == at[i+1:] && !strings.Contains(host, ":")
}
