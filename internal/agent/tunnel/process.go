package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

const (
	startWithin = 15 * time.Second
	endWithin   = 15 * time.Second
	logFile     = "openvpn.log"
	maxLog      = 1 << 20
)

// pulled are the beginnings of what a server may set here; all else is ignored: no
// default route, no script, no environment.
var pulled = []string{"route ", "route-ipv6 ", "route-gateway ", "dhcp-option DNS ", "dhcp-option DNS6 ", "dhcp-option DOMAIN ", "ifconfig ", "topology subnet", "ping ", "ping-restart ",
	"peer-id ", "cipher AES-", "cipher CHACHA20-", "protocol-flags ", "tun-mtu ", "key-derivation "}

// arguments are those of the openvpn of a place.
func (p Place) arguments() []string {
	all := []string{"--cd", p.Dir, "--config", p.Name + ".conf", "--management", openvpn.SocketFile, "unix", "--management-hold", "--management-up-down",
		"--script-security", "0", "--connect-retry", "1", "30"}
	for _, text := range pulled {
		all = append(all, "--pull-filter", "accept", text)
	}
	return append(all, "--pull-filter", "ignore", "")
}

func (p Place) path(name string) string { return filepath.Join(p.Dir, name) }

// attach is the openvpn of a place: the one that runs, or another one.
func (l *link) attach(ctx context.Context) (c *openvpn.Conn, pid int, err error) {
	p := l.place
	if n := len(p.path(openvpn.SocketFile)); n > openvpn.MaxSocket {
		return nil, 0, fleet.Errorf(fleet.Invalid, "cannot run a tunnel in %s: the path of its socket has %d bytes, and may have %d", p.Dir, n, openvpn.MaxSocket)
	}
	if err := os.Chmod(p.Dir, 0o700); err != nil { // the socket is open to all who reach it
		return nil, 0, err
	}
	if c, pid, err := reach(ctx, p); err == nil {
		return c, pid, nil
	}
	conf, err := os.ReadFile(p.path(p.Name + ".conf"))
	if err == nil {
		err = tunnel.Check(string(conf)) // whoever may have written it meanwhile
	}
	if err != nil {
		return nil, 0, err
	}
	return l.start(ctx)
}

func reach(ctx context.Context, p Place) (*openvpn.Conn, int, error) {
	c, err := openvpn.Dial(ctx, p.path(openvpn.SocketFile))
	if err != nil {
		return nil, 0, err
	}
	pid, err := c.Greet(ctx)
	if err != nil {
		c.Close()
	}
	return c, pid, err
}

// start starts an openvpn, which outlives us: a new agent cuts no tunnel.
func (l *link) start(ctx context.Context) (*openvpn.Conn, int, error) {
	p := l.place
	fail := func(err error) (*openvpn.Conn, int, error) {
		return nil, 0, fmt.Errorf("cannot start openvpn: %w", err)
	}
	program, err := exec.LookPath(Program)
	if err != nil {
		return fail(fleet.WithHint(fleet.Errorf(fleet.NotHere, "it is not installed"), "apt-get install openvpn"))
	}
	if err := os.Remove(p.path(openvpn.SocketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(p.path(logFile)); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(p.path(logFile), flags, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	cmd := exec.Command(program, p.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() // for as long as we are its parent
	by, stop := context.WithTimeout(ctx, startWithin)
	defer stop()
	for {
		c, pid, err := reach(by, p)
		if err == nil {
			return c, pid, nil
		}
		select {
		case <-ended:
			return fail(errors.New(lastLine(p.path(logFile))))
		case <-by.Done():
			cmd.Process.Kill()
			return fail(fmt.Errorf("it does not answer: %w", err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end ends an openvpn, and waits for it.
func end(ctx context.Context, p Place) error {
	ctx, stop := context.WithTimeout(ctx, endWithin)
	defer stop()
	c, _, err := reach(ctx, p)
	if err != nil {
		return nil // none runs
	}
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx, func(openvpn.Event) {}) }()
	err = c.Signal(ctx, openvpn.End)
	<-served
	if errors.Is(err, openvpn.ErrClosed) {
		return nil
	}
	return err
}

// refusal is why the server refused us, from what openvpn wrote last; "" if it did
// not.
func refusal(path string) string {
	for _, line := range lastLines(path) {
		if _, why, found := strings.Cut(line, "AUTH_FAILED"); found {
			why = strings.TrimLeft(why, ",")
			if why == "" {
				return "no reason given"
			}
			return openvpn.Plain(why)
		}
	}
	return ""
}

// lastLine is the last line that says something.
func lastLine(path string) string {
	for _, line := range lastLines(path) {
		if !strings.HasSuffix(line, "Exiting due to fatal error") && !strings.Contains(line, " process exiting") {
			return openvpn.Plain(line)
		}
	}
	return "it says nothing"
}

// lastLines are the end of a log, the last line first.
func lastLines(path string) (all []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	data := make([]byte, min(info.Size(), 4096))
	n, _ := f.ReadAt(data, info.Size()-int64(len(data)))
	lines := strings.Split(string(data[:n]), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			all = append(all, line)
		}
	}
	return all
}
