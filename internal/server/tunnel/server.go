package tunnel

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// Claim is who asks to be let in, as openvpn found it: it checked the certificate
// against the authority and the list of revocations.
type Claim struct {
	HostID string // the certificate's common name
	Serial string // as the authority writes it
	From   netip.AddrPort
}

// Admission is what somebody gets who may come in.
type Admission struct {
	HostID string
	Push   openvpn.Push
}

// Session is somebody who is in.
type Session struct {
	HostID  string
	Epoch   string
	Address netip.Addr
	From    netip.AddrPort
	Since   time.Time
	// Received and Sent are bytes, as of the last look.
	Received, Sent uint64

	serial string
	ready  bool // openvpn said that the tunnel is up
}

// Nodes is who hears of sessions; see the package presence.
type Nodes interface {
	Up(ctx context.Context, tunnel string, s Session) error
	Down(ctx context.Context, tunnel string, s Session) error
	Sync(ctx context.Context, tunnel string, all []Session) error
}

// Files are what openvpn reads, in PEM.
type Files struct{ CA, Cert, Key []byte }

// Config is what a Server needs.
type Config struct {
	Name string
	Dir  string // absolute
	Conf openvpn.Server
	Seal openvpn.Seal
	// Files are those that count now. They are asked for again and again: other ones
	// mean a new start.
	Files func(ctx context.Context) (Files, error)
	// CRL are the lists of revocations, one by each issuing key.
	CRL func(ctx context.Context) ([]byte, error)
	// Judge decides by the database. Denied with a reason for the client.
	Judge func(ctx context.Context, c Claim) (Admission, error)
	// Over says which of those who are in may be no longer, by host id, and why.
	Over  func(ctx context.Context, in []Session) (map[string]string, error)
	Nodes Nodes
	// Note keeps in a host's history that it was refused, or put out; nil keeps nothing.
	Note func(ctx context.Context, n Note) error
	// Changed gets a value when an identity ended or somebody shall be put out.
	Changed <-chan struct{}
	// Turns is for servers that share a database: one of them serves the tunnel.
	Turns *Turns
	Log   *slog.Logger
}

// Server is a tunnel that is served here.
type Server struct {
	Config

	mu       sync.Mutex
	in       map[uint64]*Session // by openvpn's number of the client
	attached bool
	crl      []byte // as written
	waits    bool   // another server serves
	fresh    bool   // openvpn was started, and has not served yet
	noted    notes

	decided, denied, killed, started atomic.Int64
	slowest                          atomic.Int64 // nanoseconds, of a decision
}

// NewServer makes a Server.
func NewServer(c Config) *Server { return &Server{Config: c, in: map[uint64]*Session{}} }

// Sessions are those who are in now; ok is false while openvpn is out of reach.
func (s *Server) Sessions() (all []Session, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.in {
		if one.ready {
			all = append(all, *one)
		}
	}
	return all, s.attached
}

// Slowest is how long the slowest decision took.
func (s *Server) Slowest() time.Duration { return time.Duration(s.slowest.Load()) }
