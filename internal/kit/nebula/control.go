package nebula

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Program is the name of the program that is the process.
const Program = "fernwerk-mesh"

// The commands of a process: one line each, answered by one line.
const (
	AskStatus = "status"
	AskReload = "reload"
	AskStop   = "stop"
)

// maxAnswer bounds what a process answers, in bytes.
const maxAnswer = 32 << 20

// Stamp names a configuration.
func Stamp(config []byte) string {
	sum := sha256.Sum256(config)
	return hex.EncodeToString(sum[:8])
}

// Find is the path of the program: beside the one that runs, or where the system
// looks for programs.
func Find() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), Program+filepath.Ext(self))
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(Program)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: it is neither beside this program nor where the system looks", Program)
	}
	return filepath.Abs(path)
}

// Control is the process of a folder.
type Control struct {
	Dir string
	// Program is its path; "" has it looked for.
	Program string
	Log     *slog.Logger

	mu      sync.Mutex
	started *exec.Cmd
	ended   chan struct{}
}

// Apply has the process run with a configuration: one that runs is told to read it,
// or to start anew where again is set; without one it is started.
func (c *Control) Apply(ctx context.Context, config Config, again bool) error {
	text, err := config.Render(c.Dir)
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir, ConfigFile)
	now, err := c.Status(ctx)
	if err == nil && again {
		if err := c.Stop(ctx); err != nil {
			return err
		}
		err = net.ErrClosed
	}
	if err == nil && now.Stamp == Stamp(text) {
		return nil
	}
	if werr := atomicfile.WriteFile(path, text, 0o600); werr != nil {
		return fmt.Errorf("cannot configure the mesh: %w", werr)
	}
	if err != nil {
		return c.start(ctx, Stamp(text))
	}
	now, err = c.ask(ctx, AskReload)
	if err == nil && now.Stamp != Stamp(text) {
		err = errors.New("it reads another configuration")
	}
	if err != nil {
		return fmt.Errorf("cannot reload the mesh: %w", err)
	}
	return nil
}

// start starts the process, and waits until it answers.
func (c *Control) start(ctx context.Context, stamp string) error {
	fail := func(err error) error { return fmt.Errorf("cannot start the mesh: %w", err) }
	program := c.Program
	if program == "" {
		var err error
		if program, err = Find(); err != nil {
			return fail(err)
		}
	}
	log, err := os.OpenFile(filepath.Join(c.Dir, LogFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "run", c.Dir)
	cmd.Env = []string{"GOMEMLIMIT=64MiB", "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	ended := make(chan struct{})
	go func() {
		err := cmd.Wait()
		c.Log.Info("The mesh's process ended", "pid", cmd.Process.Pid, "state", fmt.Sprint(err))
		close(ended)
	}()
	c.mu.Lock()
	c.started, c.ended = cmd, ended
	c.mu.Unlock()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		if now, err := c.Status(ctx); err == nil && now.Stamp == stamp {
			c.Log.Info("The mesh runs", "pid", now.PID)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return fail(fmt.Errorf("its process ended, see %s: %s", log.Name(), tail(log.Name())))
		case <-limit.C:
			return fail(errors.New("its process does not answer"))
		case <-tick.C:
		}
	}
}

// tail is the last of a file.
func tail(path string) string {
	text, _ := os.ReadFile(path)
	return string(text[max(0, len(text)-300):])
}

// Ended is closed when the process ends that this Control started; nil if it
// started none.
func (c *Control) Ended() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Status asks the process. Without one it is an error.
func (c *Control) Status(ctx context.Context) (Status, error) { return c.ask(ctx, AskStatus) }

// Stop ends the process and waits for that. Without one nothing happens.
func (c *Control) Stop(ctx context.Context) error {
	if _, err := c.ask(ctx, AskStop); err != nil {
		return nil
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	for {
		if _, err := c.ask(ctx, AskStatus); err != nil {
			return nil
		}
		select {
		case <-limit.C:
			return c.kill()
		case <-tick.C:
		}
	}
}

// kill ends a process that this Control started and that does not listen.
func (c *Control) kill() error {
	c.mu.Lock()
	cmd, ended := c.started, c.ended
	c.mu.Unlock()
	if cmd == nil {
		return errors.New("cannot end the mesh: its process does not listen")
	}
	err := cmd.Process.Kill()
	<-ended
	return err
}

func (c *Control) ask(ctx context.Context, command string) (s Status, err error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "unix", filepath.Join(c.Dir, SocketFile))
	if err != nil {
		return s, fmt.Errorf("the mesh does not run: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err = io.WriteString(conn, command+"\n"); err == nil {
		err = json.NewDecoder(io.LimitReader(conn, maxAnswer)).Decode(&s)
	}
	if err != nil {
		return s, fmt.Errorf("the mesh does not answer: %w", err)
	}
	return s, nil
}
