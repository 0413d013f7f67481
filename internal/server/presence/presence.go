// Package presence knows which nodes are up, and keeps DNS and schedulers right
// about it.
//
// A fact is a [Session]: this node's tunnel is up at this address since then,
// from that client address. Tunnels report facts with [Presence.Up] and
// [Presence.Down], in any order and as often as they like: what is stale or
// repeated changes nothing. A node is up while any of its tunnels is, and for a
// grace time longer, so that a flap costs nobody a job.
//
// # Which report counts
//
// A tunnel gives every session a name of its own (its epoch) and the time at
// which it began. Of one host's sessions in one tunnel the one that began last
// counts; an older one that is reported later is nothing new. The end of a
// session ends that session and no other, and is remembered for a while if it
// comes before its beginning. What a tunnel holds altogether, after a restart,
// is told by [Presence.Sync], which counts whatever was there before.
//
// Each session that counts gets a number from the database, which only rises.
// Drivers see it as [node.Node.Epoch].
//
// # Where a node is beside its tunnels
//
// A host tells its LAN addresses ([Presence.Tell]; package fleet/lan says what is
// believed of it). They are kept for the host, not for a session, together with where
// the report came from: they count for sessions that come from there too, whether these
// were before or come after. So what a host tells at one site is never taken for another,
// also while it moves.
//
// # What follows from it
//
// Tunnels only write rows and are done. [Presence.Serve] compares what shall be
// ([Desired]) with what is, for each [Driver] by itself: a scheduler that is slow
// or dead holds neither a tunnel nor DNS. Rows are in the database, so that a
// restart of either side is nothing special, and of several servers on one
// database one drives, the holder of a lease.
package presence

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Grace is how long a node counts as up after its last session ended, without
// another word.
const Grace = 20 * time.Second

// Topic wakes who works on presence; see [store.Store.Watch].
const Topic = "presence"

// remembered is how long the end of a session is kept that came before its
// beginning.
const remembered = time.Hour

// Session is one tunnel of one host, as the tunnel reports it.
type Session struct {
	HostID string
	Tunnel string // the tunnel's name; see enrol.ValidTunnel
	// Epoch names the session among all of this host in this tunnel, ever.
	Epoch string
	// Address in the tunnel. Without one it is the host's own; see [Presence.Address].
	Address       netip.Addr
	ClientAddress netip.Addr // where the tunnel comes from
	Since         time.Time  // when it began
	// Until is when the session ends without being reported again, for tunnels that
	// do not tell; zero for never.
	Until time.Time
	// NodeType is that of a host that joined as none; what it joined as counts.
	NodeType string
	// LAN are addresses of the node in private networks, with their length, for
	// neighbours there, where the tunnel tells them; else those that the host told
	// count ([Presence.Tell]).
	LAN []netip.Prefix
}

// session is a Session as it is kept.
type session struct {
	HostID  string `col:"hostId,ident,lower,valid=host,owner=host.id"`
	Tunnel  string `col:"tunnel,ident"`
	Epoch   string `col:"epoch,ident"`
	Number  int64  `col:"number"`
	Address string `col:"address"`
	Client  string `col:"client"`
	Since   int64  `col:"since"` // Unix milliseconds; 0: only its end was reported
	// Ends is when it counts no more, in Unix milliseconds, 0 while that is not
	// known; Ended says that the tunnel reported it.
	Ends  int64    `col:"ends"`
	Ended bool     `col:"ended"`
	LAN   []string `col:"lan"`
	// Name is what the reverse lookup of Client gave; Asked that there was one.
	Name  string `col:"name"`
	Asked bool   `col:"asked"`
}

// address is a host's address in tunnels; holder the same the other way round,
// so that two hosts never have one.
type address struct {
	HostID   string `col:"hostId,ident,lower,valid=host,owner=host.id"`
	Address  string `col:"address"`
	NodeType string `col:"nodeType"`
	// Seen is whether the history last said of the host that it is up.
	Seen bool `col:"seen"`
	// Number is that of the host's last session.
	Number int64 `col:"number"`
}

type holder struct {
	Address string `col:"address,ident"`
	HostID  string `col:"hostId,lower,valid=host,owner=host.id"`
}

type count struct {
	ID     string `col:"id,ident"`
	Number int64  `col:"number"`
}

var (
	sessions  = fleet.LocalClass[session]("presenceSession")
	addresses = fleet.LocalClass[address]("nodeAddress")
	holders   = fleet.LocalClass[holder]("nodeAddressHolder")
	counts    = fleet.LocalClass[count]("presenceCount")
)

// Classes are for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{sessions, addresses, holders, counts, tolds} }

// Config is what Presence needs. Store was opened with [Classes].
type Config struct {
	Store  *store.Store
	Leases *lease.Leases
	// NodeType is the type that a host joined as, "" if it is none.
	NodeType func(tx *store.Tx, hostID string) (string, error)
	Drivers  []Driver
	Grace    time.Duration // 0 is [Grace]
	// Resync is how often a driver reads what is although nothing happened; 0 is
	// five minutes.
	Resync time.Duration
	// Lookup is the reverse lookup of a client's address; nil asks nobody.
	Lookup Lookup
	Log    *slog.Logger
}

// Presence keeps the sessions of a store.
type Presence struct {
	Config
	ups, downs, stale, changes, failures atomic.Int64
	late                                 lateness

	mu      sync.Mutex
	telling map[string]*bucket
}

// New makes Presence. Serve does what follows from reports.
func New(c Config) *Presence {
	if c.Grace == 0 {
		c.Grace = Grace
	}
	if c.Resync == 0 {
		c.Resync = 5 * time.Minute
	}
	return &Presence{Config: c, telling: map[string]*bucket{}}
}

// Counted are the reports since the start: sessions that began and ended,
// reports that changed nothing, changes that drivers made, and those that failed.
func (p *Presence) Counted() (ups, downs, stale, changes, failures int64) {
	return p.ups.Load(), p.downs.Load(), p.stale.Load(), p.changes.Load(), p.failures.Load()
}

var origin = store.Origin{Actor: "presence"}
