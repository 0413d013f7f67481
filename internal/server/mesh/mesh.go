// Package mesh lets hosts into the mesh, and is its hub: lighthouse and relay.
//
//	POST /v1/mesh {key, where it is} -> {certificate, map}
//
// The mesh has an authority of its own, sealed in the database. A host that shows
// the certificate by which it is a host gets one of the mesh: its name is the
// host's id, its address the one that it has in every tunnel, its groups its node
// type and its host groups. It is good for a week, and renewed at half of that.
//
// # Who counts no more
//
// Nobody has to remember to block a certificate: one that was given counts while
// the identity it was given to is there, not revoked, and the same as then, and
// while the address is still the host's. All others are on the list that every
// node gets with its next question, and the hub at once. Nodes close their tunnels
// with them within [nebula.Cut], and answer them no more.
//
// # Without the server
//
// Each node holds the map, signed by the authority. Nodes that are on one LAN, or
// can reach each other otherwise, need nobody else.
package mesh

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

// node is a host in the mesh.
type node struct {
	HostID      string   `col:"hostId,ident,lower,valid=host,owner=host.id"`
	Network     string   `col:"network"`
	Address     string   `col:"address"`
	Groups      []string `col:"groups"`
	Key         string   `col:"publicKey"` // hexadecimal
	Certificate string   `col:"certificate"`
	Fingerprint string   `col:"fingerprint"`
	Joined      int64    `col:"joined"`    // of its identity, Unix seconds
	NotBefore   int64    `col:"notBefore"` // Unix seconds
	NotAfter    int64    `col:"notAfter"`
	Places      []string `col:"places"` // where it says that it is
	Seen        string   `col:"seen"`   // where the hub sees it
	// Epoch is the session that presence knows, "" if the node is not up; Since
	// what the node says of it. A clock of a node decides nothing else.
	Epoch string `col:"epoch"`
	Since int64  `col:"since"`
}

// given is a certificate that is not over. It outlives the host.
type given struct {
	Fingerprint string `col:"fingerprint,ident"`
	HostID      string `col:"hostId,lower"`
	Address     string `col:"address"`
	Joined      int64  `col:"joined"`
	NotAfter    int64  `col:"notAfter"`
}

var (
	nodes  = fleet.LocalClass[node]("meshNode")
	givens = fleet.LocalClass[given]("meshCertificate")
)

// Classes are for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{nodes, givens, saids} }

// Identity is what the mesh wants to know of a host.
type Identity struct {
	NodeType string
	Joined   int64 // Unix seconds
	Counts   bool  // it is there, and not revoked
}

// Up is a node whose mesh is up.
type Up struct {
	HostID string
	Epoch  string
	From   netip.Addr
	Since  time.Time
	Until  time.Time
	LAN    []netip.Prefix
}

// Presence is told which nodes are up.
type Presence interface {
	Address(ctx context.Context, hostID string) (netip.Addr, error)
	Up(ctx context.Context, u Up) error
	Down(ctx context.Context, hostID, epoch string) error
}

// Config is what a Mesh needs.
type Config struct {
	Store    *store.Store
	Leases   *lease.Leases
	Identity func(tx *store.Tx, hostID string) (Identity, error)
	Presence Presence
	// Ended wakes the hub: the topic of identities that ended.
	Ended string
	// Secrets has the authorities, under the name [Secret].
	Secrets  Secrets
	ServerID string
	// At are the hub's addresses for nodes, HOST:PORT.
	At []string
	// Allow are the rules; none: nodes of a type among themselves.
	Allow []mesh.Rule
	// Apart are networks of other tunnels whose nodes shall not reach each other.
	Apart []netip.Prefix
	Every time.Duration // how often nodes ask
	// Of the hub's process.
	Dir, Program, Device string
	Port                 int
	Bare                 bool
	// Guard is a program with its first arguments that is a guard, and Others tells whether
	// other servers of the database run, or may: both for servers that share one.
	Guard  []string
	Others func(ctx context.Context) (bool, error)
	Log    *slog.Logger
	Now    func() time.Time
}

// Mesh is the mesh of a store that was opened with [Classes].
type Mesh struct {
	Config
	mu    sync.Mutex
	asked map[string]*bucket
	up    map[string]*session
	seen  map[netip.Addr]netip.AddrPort // by the hub
	maps  map[netip.Prefix]made
	came  chan struct{} // a node is new: the hub looks
	ring  *certs.Ring
	text  []byte // of ring
	hubs  atomic.Bool
	count struct{ asked, refused, certified atomic.Int64 }
}

// session is a node that is up, as far as this server told presence.
type session struct {
	epoch string
	told  time.Time
}

// made is a map that was signed.
type made struct {
	at     time.Time
	tag    string
	signed mesh.Signed
}

// New makes a Mesh.
func New(c Config) *Mesh {
	return &Mesh{Config: c, asked: map[string]*bucket{}, up: map[string]*session{}, seen: map[netip.Addr]netip.AddrPort{},
		maps: map[netip.Prefix]made{}, came: make(chan struct{}, 1)}
}

// Secret is the authority's name among the secrets of the database.
const Secret = "mesh authority"

// NewAuthority makes an authority; it is kept sealed.
func NewAuthority(name string, now time.Time) ([]byte, error) {
	return certs.New(name, now.Add(-time.Hour), now.AddDate(years, 0, 0))
}

// A host may ask this often in one go, and then once in each interval: what is
// more is somebody who floods.
const (
	burst    = 12
	interval = 5 * time.Second
)

type bucket struct {
	left float64
	at   time.Time
}

// limit refuses a host that asks too often.
func (m *Mesh) limit(hostID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.Now()
	b := m.asked[hostID]
	if b == nil {
		b = &bucket{left: burst, at: now}
		m.asked[hostID] = b
	}
	b.left = min(burst, b.left+float64(now.Sub(b.at))/float64(interval))
	b.at = now
	if b.left < 1 {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "%s asks for the mesh too often", hostID), "wait a minute; its agent asks every %v", m.Every)
	}
	b.left--
	return nil
}

// Secrets are texts that all servers of a database have, sealed.
type Secrets interface {
	Find(tx *store.Tx, name string) ([]byte, error)
	Keep(tx *store.Tx, name string, text []byte) error
}
