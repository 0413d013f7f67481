package child

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/steer"
)

// A process asks others inside of the mesh whether they answer, where another way is
// open to it. Questions and answers are sent by sockets of the device, and taken where
// they come out of the mesh: no firewall of the machine has to let them in.

var question, answer = []byte("fernwerk ?"), []byte("fernwerk !")

// probes asks and answers.
type probes struct {
	mu      sync.Mutex
	sockets map[netip.Addr]*net.UDPConn // by own address
	answers chan [2]netip.Addr          // own address, who asked
	heard   atomic.Pointer[times]       // nil while nobody wants to know
	sent    atomic.Pointer[times]
}

// times are Unix milliseconds by peer. The map does not change.
type times map[netip.Addr]*atomic.Int64

func (t *times) note(a netip.Addr) {
	if t != nil {
		if at := (*t)[a]; at != nil {
			at.Store(time.Now().UnixMilli())
		}
	}
}

func (t *times) all() map[netip.Addr]time.Time {
	all := map[netip.Addr]time.Time{}
	if t != nil {
		for a, at := range *t {
			if ms := at.Load(); ms != 0 {
				all[a] = time.UnixMilli(ms)
			}
		}
	}
	return all
}

// follow has the times kept of these peers, and of no others.
func follow(at *atomic.Pointer[times], peers map[netip.Addr]bool) {
	was := at.Load()
	if was != nil && len(*was) == len(peers) {
		same := true
		for a := range peers {
			same = same && (*was)[a] != nil
		}
		if same {
			return
		}
	}
	next := times{}
	for a := range peers {
		if was != nil && (*was)[a] != nil {
			next[a] = (*was)[a]
		} else {
			next[a] = &atomic.Int64{}
		}
	}
	at.Store(&next)
}

// serve sends answers until ctx ends.
func (p *probes) serve(ctx context.Context, device string) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range p.sockets {
			s.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-p.answers:
			p.send(device, a[0], a[1], answer)
		}
	}
}

// send sends to a peer from an own address.
func (p *probes) send(device string, own, to netip.Addr, what []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sockets[own]
	if s == nil {
		c := net.ListenConfig{Control: steer.Bind(device)}
		pc, err := c.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(own, nebula.ProbePort).String())
		if err != nil {
			return err
		}
		s = pc.(*net.UDPConn)
		p.sockets[own] = s
	}
	_, err := s.WriteToUDPAddrPort(what, netip.AddrPortFrom(to, nebula.ProbePort))
	return err
}

// take takes a packet that came from the mesh, if it is a question or an answer.
func (p *probes) take(packet []byte) bool {
	from, to, payload, ok := datagram(packet, nebula.ProbePort)
	if !ok {
		return false
	}
	if bytes.Equal(payload, question) {
		select {
		case p.answers <- [2]netip.Addr{to, from}:
		default: // it asks again
		}
	}
	return true
}

// datagram reads a packet of UDP between two ends of one port.
func datagram(p []byte, port uint16) (from, to netip.Addr, payload []byte, ok bool) {
	var udp []byte
	switch {
	case len(p) >= 28 && p[0] == 0x45 && p[9] == 17 && p[6]&0x3f == 0 && p[7] == 0:
		from, to, udp = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[20:]
	case len(p) >= 48 && p[0]>>4 == 6 && p[6] == 17:
		from, to, udp = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:]
	default:
		return from, to, nil, false
	}
	if binary.BigEndian.Uint16(udp) != port || binary.BigEndian.Uint16(udp[2:]) != port {
		return from, to, nil, false
	}
	return from, to, udp[8:], true
}

// source is where a packet comes from, destination where it goes; invalid if it is none.
func source(p []byte) netip.Addr {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[12:16]))
	case len(p) >= 40 && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[8:24]))
	}
	return netip.Addr{}
}

func destination(p []byte) netip.Addr {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[16:20]))
	case len(p) >= 40 && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[24:40]))
	}
	return netip.Addr{}
}
