// Package peer holds programs of others that are measured beside ours, on the same
// line.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/test/bench/tree"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// Cost is what one transfer cost: bytes of both directions of the line.
type Cost struct {
	Seconds float64
	Bytes   int64
}

// Rsync is a daemon behind a line.
type Rsync struct {
	say    func(format string, args ...any)
	line   *site.Line
	daemon *exec.Cmd
}

// StartRsync serves the tree's content by a real rsync daemon, whose files are in a
// folder. It says what it runs.
func StartRsync(ctx context.Context, folder string, t *tree.Tree, say func(format string, args ...any)) (*Rsync, error) {
	program, err := exec.LookPath("rsync")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	conf := fmt.Sprintf("use chroot = no\nlog file = %s\n", filepath.Join(folder, "rsyncd.log"))
	if os.Getuid() == 0 { // else it would become nobody
		conf += "uid = 0\ngid = 0\n"
	}
	conf += fmt.Sprintf("[product]\n  path = %s\n  read only = yes\n", t.Content())
	file := filepath.Join(folder, "rsyncd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	r := &Rsync{say: say, daemon: exec.CommandContext(ctx, program, "--daemon", "--no-detach", "--address=127.0.0.1", "--port="+port, "--config="+file)}
	say("$ %s", strings.Join(r.daemon.Args, " "))
	if err := r.daemon.Start(); err != nil {
		return nil, err
	}
	if err := answers(ctx, address); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if r.line, err = site.Connect(ctx, site.Branch, address); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Fetch makes a folder equal to the tree.
func (r *Rsync) Fetch(ctx context.Context, dir string) (Cost, error) {
	r.line.Reset()
	cmd := exec.CommandContext(ctx, "rsync", "-az", "--delete", fmt.Sprintf("rsync://%s/product/", r.line.Addr()), dir+"/")
	r.say("$ %s", strings.Join(cmd.Args, " "))
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return Cost{}, fmt.Errorf("rsync failed: %w\n%s", err, out)
	}
	took := time.Since(began)
	up, down := r.line.Counts()
	return Cost{took.Seconds(), up + down}, nil
}

// Close ends the daemon.
func (r *Rsync) Close() error {
	if r.line != nil {
		r.line.Close()
	}
	err := r.daemon.Process.Kill()
	r.daemon.Wait() // says that it was killed
	return err
}

// freeAddress is a loopback address on which nobody listens now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until somebody listens.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("nobody answers on %s: %w", address, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
