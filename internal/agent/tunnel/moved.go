package tunnel

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// settle is how long after a change of addresses a tunnel is looked at: the next
// address often comes a moment after the former has gone, or it is the same one.
const settle = time.Second

// moves tells all links that the machine's addresses have changed.
type moves struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait is closed at the next change.
func (m *moves) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		m.next = make(chan struct{})
	}
	return m.next
}

// Moved says that addresses of the machine may have changed. A tunnel whose connection
// has lost its address connects anew: OpenVPN itself would wait a minute for the server
// that it can no longer hear. It is quick.
func (s *Service) Moved() {
	s.moves.mu.Lock()
	defer s.moves.mu.Unlock()
	if s.moves.next != nil {
		close(s.moves.next)
		s.moves.next = nil
	}
}

// follow has openvpn connect anew if its connection's address is no longer here.
// Without a word of openvpn's, as by UDP, which finds another way by itself, nothing is
// done.
func (l *link) follow(ctx context.Context, c *openvpn.Conn) error {
	at, err := netip.ParseAddr(l.st.Local)
	if err != nil || l.st.State != Connected || here(at) {
		return nil
	}
	l.Log.Info("Tunnel connects anew: its connection's address is gone", "tunnel", l.place.Name, "address", at)
	return c.Signal(ctx, openvpn.Restart)
}

// here tells whether the machine has an address; yes if that cannot be told.
func here(at netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == at.Unmap() {
			return true
		}
	}
	return err != nil || len(all) == 0
}
