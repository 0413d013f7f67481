package tunnel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

const (
	startWithin = 15 * time.Second
	endWithin   = 15 * time.Second
	maxLog      = 16 << 20
	logFile     = "openvpn.log"
	runningFile = "running"
)

// running is what an openvpn was started with.
type running struct {
	PID    int    `json:"pid"`
	Digest string `json:"digest"`
}

func (s *Server) path(name string) string { return filepath.Join(s.Dir, name) }

// prepare writes what openvpn reads. The digest is of all that it reads at its start
// only.
func (s *Server) prepare(ctx context.Context) (digest string, err error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("cannot prepare tunnel %s: %w", s.Name, err)
	}
	if n := len(s.path(openvpn.SocketFile)); n > openvpn.MaxSocket {
		return fail(fleet.WithHint(fleet.Errorf(fleet.Invalid, "the path of its socket, %s, has %d bytes", s.path(openvpn.SocketFile), n), "a socket's path has at most %d: give fernwerkd a data folder with a shorter one", openvpn.MaxSocket))
	}
	conf, err := s.Conf.Render()
	if err != nil {
		return fail(err)
	}
	files, err := s.Files(ctx)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fail(err)
	}
	if err := os.Chmod(s.Dir, 0o700); err != nil { // the socket is open to all who reach it
		return fail(err)
	}
	sum := sha256.New()
	for _, f := range []struct {
		name string
		data []byte
	}{{openvpn.ConfFile, []byte(conf)}, {openvpn.CAFile, files.CA}, {openvpn.CertFile, files.Cert}, {openvpn.KeyFile, files.Key}, {openvpn.SealFile, s.Seal.Text()}} {
		fmt.Fprintf(sum, "%s %d\n", f.name, len(f.data))
		sum.Write(f.data)
		if is, err := os.ReadFile(s.path(f.name)); err == nil && bytes.Equal(is, f.data) {
			continue
		}
		if err := atomicfile.WriteFile(s.path(f.name), f.data, 0o600); err != nil {
			return fail(err)
		}
	}
	if err := s.writeCRL(ctx); err != nil {
		return fail(err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeCRL writes the list of revocations if it is another one. openvpn reads it
// anew at the next handshake.
func (s *Server) writeCRL(ctx context.Context) error {
	text, err := s.CRL(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	same := bytes.Equal(text, s.crl)
	s.mu.Unlock()
	if same {
		return nil
	}
	if err := atomicfile.WriteFile(s.path(openvpn.CRLFile), text, 0o600); err != nil {
		return fmt.Errorf("cannot keep the list of revocations: %w", err)
	}
	s.mu.Lock()
	s.crl = text
	s.mu.Unlock()
	return nil
}

// attach connects to the openvpn that runs, if it was started with the same, or
// starts one.
func (s *Server) attach(ctx context.Context) (*openvpn.Conn, int, error) {
	digest, err := s.prepare(ctx)
	if err != nil {
		return nil, 0, err
	}
	if c, pid, err := s.takeOver(ctx, digest); c != nil || err != nil {
		return c, pid, err
	}
	return s.start(ctx, digest)
}

// takeOver is the openvpn that runs. One that was started with something else is
// ended.
func (s *Server) takeOver(ctx context.Context, digest string) (*openvpn.Conn, int, error) {
	c, pid, err := reach(ctx, s.Dir)
	if err != nil {
		return nil, 0, nil // none runs; if one does all the same, the start says so
	}
	var with running
	if text, err := os.ReadFile(s.path(runningFile)); err == nil {
		_ = json.Unmarshal(text, &with) // what cannot be read is another digest
	}
	if with.Digest == digest {
		s.guard(pid)
		s.Log.Info("Tunnel goes on", "tunnel", s.Name, "process", pid)
		return c, pid, nil
	}
	s.Log.Info("Tunnel starts anew: its configuration or its certificate is another one", "tunnel", s.Name)
	return nil, 0, end(ctx, c, s.Dir)
}

// reach connects to the openvpn of a folder. Its Conn is being read: events are
// dropped until the caller takes them with follow.
func reach(ctx context.Context, dir string) (*openvpn.Conn, int, error) {
	c, err := openvpn.Dial(ctx, filepath.Join(dir, openvpn.SocketFile))
	if err != nil {
		return nil, 0, err
	}
	pid, err := c.Greet(ctx)
	if err != nil {
		c.Close()
		return nil, 0, err
	}
	return c, pid, nil
}

// end ends an openvpn and waits until its socket is gone.
func end(ctx context.Context, c *openvpn.Conn, dir string) error {
	defer c.Close()
	ctx, stop := context.WithTimeout(ctx, endWithin)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx, func(openvpn.Event) {}) }()
	if err := c.Signal(ctx, openvpn.End); err != nil && !errors.Is(err, openvpn.ErrClosed) {
		return err
	}
	<-served // it closes the connection when it ends
	for ctx.Err() == nil {
		other, err := openvpn.Dial(ctx, filepath.Join(dir, openvpn.SocketFile))
		if err != nil {
			return nil
		}
		other.Close()
		pause(ctx, 50*time.Millisecond)
	}
	return fmt.Errorf("openvpn in %s does not end", dir)
}

// start starts an openvpn, which outlives us.
func (s *Server) start(ctx context.Context, digest string) (*openvpn.Conn, int, error) {
	fail := func(err error) (*openvpn.Conn, int, error) {
		return nil, 0, fmt.Errorf("cannot start tunnel %s: %w", s.Name, err)
	}
	program, err := exec.LookPath(openvpn.Program)
	if err != nil {
		return fail(fleet.WithHint(fleet.Errorf(fleet.NotHere, "there is no openvpn on this machine"), "apt-get install openvpn"))
	}
	if err := endLost(ctx, s.Dir); err != nil {
		return fail(err)
	}
	if err := os.RemoveAll(s.path(openvpn.SocketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	log, err := os.OpenFile(s.path(logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "--cd", s.Dir, "--config", openvpn.ConfFile)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	s.started.Add(1)
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() // for as long as we are its parent
	by, stop := context.WithTimeout(ctx, startWithin)
	defer stop()
	for {
		c, pid, err := reach(by, s.Dir)
		if err == nil && pid == cmd.Process.Pid {
			s.guard(pid)
			text, err := json.Marshal(running{pid, digest})
			if err == nil {
				err = atomicfile.WriteFile(s.path(runningFile), append(text, '\n'), 0o600)
			}
			if err != nil {
				c.Close()
				return fail(err)
			}
			s.fresh = true
			return c, pid, nil
		}
		if err == nil {
			c.Close()
		}
		select {
		case <-ended:
			return fail(s.why(lastLine(s.path(logFile))))
		case <-by.Done():
			cmd.Process.Kill()
			return fail(fmt.Errorf("openvpn does not answer: %w", err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// trimLog keeps openvpn's log within its limit; openvpn appends to it.
func (s *Server) trimLog() {
	if info, err := os.Stat(s.path(logFile)); err == nil && info.Size() > maxLog {
		_ = os.Truncate(s.path(logFile), 0)
	}
}

// pause waits, less long if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
