// Package child is the process of a mesh: nebula, and a socket by which who
// started it, or comes later, asks how it is. See package nebula for the folder.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	upstream "github.com/slackhq/nebula"
	"github.com/slackhq/nebula/config"
	"github.com/slackhq/nebula/logging"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// Run runs the mesh of a folder until ctx ends or it is told to stop.
func Run(ctx context.Context, dir string) error {
	debug.SetGCPercent(50) // memory before time: the rest of the machine is somebody's
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log := logging.NewLogger(os.Stderr)
	c := config.NewC(log)
	path := filepath.Join(dir, nebula.ConfigFile)
	text, err := os.ReadFile(path)
	if err == nil {
		err = c.Load(path)
	}
	if err == nil {
		err = logging.ApplyConfig(log, c)
	}
	if err != nil {
		return fmt.Errorf("cannot read the mesh's configuration: %w", err)
	}
	listener, err := listen(filepath.Join(dir, nebula.SocketFile))
	if err != nil {
		return err
	}
	defer listener.Close()
	d := newDevice()
	control, err := upstream.Main(c, false, "", log, d.open)
	if err == nil {
		err = control.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot start the mesh: %w", err)
	}
	p := &process{config: c, control: control, path: path, since: time.Now(), stop: stop, log: log}
	p.stamp.Store(nebula.Stamp(text))
	ended := make(chan error, 1)
	go func() { ended <- control.Wait(); stop() }()
	go func() { <-ctx.Done(); listener.Close() }()
	steered := make(chan struct{})
	go func() {
		var all sync.WaitGroup
		all.Go(func() { p.steer(ctx, d) })
		all.Go(func() { d.probes.serve(ctx, d.Name()) })
		all.Wait()
		close(steered)
	}()
	p.serve(listener)
	stop()
	<-steered
	control.Stop()
	return <-ended
}

// listen takes the socket. One that a process left which died is taken over; one
// that answers is somebody's.
func listen(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("cannot listen on %s: another process does", path)
	}
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for who asks: %w", err)
	}
	return l, os.Chmod(path, 0o600)
}

type process struct {
	config  *config.C
	control *upstream.Control
	path    string
	since   time.Time
	stamp   atomic.Value
	stop    func()
	log     *slog.Logger

	mu      sync.Mutex
	besides []string
	away    []netip.Addr
	problem string
}

// serve answers one after the other: only the machine's own agent asks.
func (p *process) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("Cannot take a question", "error", err)
			continue
		}
		if err := p.answer(conn); err != nil {
			p.log.Warn("Cannot answer", "error", err)
		}
		conn.Close()
	}
}

func (p *process) answer(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReaderSize(conn, 64).ReadSlice('\n')
	if err != nil {
		return err
	}
	switch string(line[:len(line)-1]) {
	case nebula.AskStatus:
	case nebula.AskReload:
		text, err := os.ReadFile(p.path)
		if err != nil {
			return err
		}
		p.config.ReloadConfig()
		p.stamp.Store(nebula.Stamp(text))
	case nebula.AskStop:
		defer p.stop()
	default:
		return errors.New("nobody knows the command")
	}
	return json.NewEncoder(conn).Encode(p.status())
}

func (p *process) status() nebula.Status {
	s := nebula.Status{PID: os.Getpid(), Since: p.since, Stamp: p.stamp.Load().(string), Peers: []nebula.Peer{}}
	p.mu.Lock()
	s.Beside, s.Away, s.Problem = p.besides, p.away, p.problem
	p.mu.Unlock()
	hubs := map[netip.Addr]bool{}
	for _, a := range p.said().hubs {
		hubs[a] = true
	}
	for _, h := range p.control.ListHostmapHosts(false) {
		peer := nebula.Peer{Address: h.VpnAddrs, Remote: h.CurrentRemote, Relays: h.CurrentRelaysToMe, Known: h.RemoteAddrs}
		if h.Cert != nil {
			peer.Name, peer.Groups = h.Cert.Name(), h.Cert.Groups()
		}
		for _, a := range h.VpnAddrs {
			peer.Hub = peer.Hub || hubs[a]
		}
		s.Peers = append(s.Peers, peer)
	}
	return s
}
