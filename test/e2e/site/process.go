package site

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a program may take until it is ready.
const startTime = 60 * time.Second

// process is one run of a program.
type process struct {
	cmd   *exec.Cmd
	log   string // file that takes its stderr
	ended chan struct{}
	err   error // of its end; read it after ended
}

// begin starts a program and waits for its line "ready URL". What it writes to
// stderr is appended to the file log. It is killed when ctx ends.
func begin(ctx context.Context, log string, env []string, argv ...string) (p *process, url string, err error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	p = &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), log: log, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = file
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	endWithUs(p.cmd)
	started := make(chan error, 1)
	ready := make(chan string, 1)
	go func() {
		// The thread that starts a child with endWithUs must outlive it.
		runtime.LockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		lines := bufio.NewReader(stdout)
		for {
			line, err := lines.ReadString('\n')
			if url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready "); ok {
				ready <- url
				break
			}
			if err != nil {
				break
			}
		}
		io.Copy(io.Discard, lines)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, "", fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case url = <-ready:
		return p, url, nil
	case <-p.ended:
		select { // it may have ended at once after it was ready
		case url = <-ready:
			return p, url, nil
		default:
		}
		return nil, "", fmt.Errorf("%s ended before it was ready: %w\n%s", argv[0], p.err, p.tail())
	case <-late.C:
		p.kill()
		return nil, "", fmt.Errorf("%s was not ready within %v\n%s", argv[0], startTime, p.tail())
	}
}

// Begin starts another program that says "ready URL", and returns the URL. It ends
// with ctx, or with this process.
func Begin(ctx context.Context, log string, argv ...string) (url string, err error) {
	_, url, err = begin(ctx, log, nil, argv...)
	return url, err
}

// alive tells whether the process has not ended.
func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process without a word (SIGKILL) and waits for its end.
func (p *process) kill() {
	if p != nil {
		p.cmd.Process.Kill() // fails if it has ended, which is what we want
		<-p.ended
	}
}

// stop asks the process to end and tells whether it did so well, in time.
func (p *process) stop(within time.Duration) error {
	if p == nil {
		return errors.New("it was not started")
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.kill()
		return fmt.Errorf("it did not end within %v\n%s", within, p.tail())
	}
	// SIGTERM is how such programs are stopped, so it is no failure; -1 means
	// that the signal ended it unheard.
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("it ended with status %d\n%s", code, p.tail())
	}
	return nil
}

// tail is the end of the process's log.
func (p *process) tail() string {
	if p == nil {
		return ""
	}
	return Tail(p.log, 25)
}

// Tail is the last lines of a file, for messages.
func Tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
