package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

const (
	startTime = 60 * time.Second // until a program says that it is ready
	stopTime  = 20 * time.Second // between asking a program to end and killing it
	callTime  = 5 * time.Minute  // of one command
)

// process is a program that runs on.
type process struct {
	name  string
	stop  context.CancelFunc
	ended chan struct{}
	ready chan struct{}
	err   error // why it ended; set before ended is closed
}

// start starts a program and waits until it prints a line that begins with
// "ready ". Its output goes to a log file.
func (d *demo) start(ctx context.Context, env []string, argv ...string) (*process, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(argv[0], d.Programs+string(os.PathSeparator)), ".exe")
	file, err := os.OpenFile(d.path("log", name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	p := &process{name: name, stop: cancel, ended: make(chan struct{}), ready: make(chan struct{})}
	out := &watched{file: file, found: sync.OnceFunc(func() { close(p.ready) })}
	d.processes.Go(func() {
		defer file.Close()
		defer cancel()
		result, err := secureexec.Run(run, secureexec.Command{Argv: argv, Env: env, Out: out, Err: out, OutputLimit: -1, KillGrace: stopTime})
		if err == nil {
			err = result.Failure()
		}
		p.err = err
		close(p.ended)
	})
	select {
	case <-p.ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("%s ended at once: %w", name, p.why())
	case <-time.After(startTime):
		err = fmt.Errorf("%s did not get ready within %v", name, startTime)
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.end()
	return nil, err
}

// end ends the program and waits until it is gone.
func (p *process) end() {
	p.stop()
	<-p.ended
}

// why is the reason of an end that nobody asked for.
func (p *process) why() error {
	if p.err == nil {
		return errors.New("it ended by itself")
	}
	return p.err
}

// gone is an error if the program has ended.
func (p *process) gone() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w", p.name, p.why())
	default:
		return nil
	}
}

// watched is a log file that is watched for the ready line.
type watched struct {
	file  *os.File
	line  []byte
	found func()
}

func (w *watched) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			if len(w.line) < 100 {
				w.line = append(w.line, c)
			}
			continue
		}
		if bytes.HasPrefix(w.line, []byte("ready ")) {
			w.found()
		}
		w.line = w.line[:0]
	}
	return w.file.Write(p)
}

// do runs a program to its end and returns what it printed.
func (d *demo) do(ctx context.Context, env []string, argv ...string) ([]byte, error) {
	var out, problems bytes.Buffer
	result, err := secureexec.Run(ctx, secureexec.Command{Argv: argv, Env: env, Out: &out, Err: &problems, OutputLimit: 64 << 20,
		Timeout: callTime, KillGrace: stopTime})
	if err == nil {
		err = result.Failure()
	}
	if err != nil {
		said := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(problems.String()), "error: "))
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(shown(argv), " "), err, strings.ReplaceAll(said, "\n", "; "))
	}
	return out.Bytes(), nil
}

// shown is a command line as it may be printed: the start of it.
func shown(argv []string) []string {
	words := slices.Clone(argv[:min(len(argv), 3)])
	words[0] = words[0][strings.LastIndexAny(words[0], `/\`)+1:]
	return words
}

// admin runs fernwerk as the administrator who is logged in.
func (d *demo) admin(ctx context.Context, args ...string) ([]byte, error) {
	return d.do(ctx, d.environment(), append([]string{d.Admin}, args...)...)
}

// tails shows the ends of the logs, for whoever looks for the reason.
func (d *demo) tails() {
	const lines = 12
	for _, name := range []string{"fernwerkd", "fernwerk-agent"} {
		data, err := os.ReadFile(d.path("log", name+".log"))
		if err != nil || len(data) == 0 {
			continue
		}
		all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
		d.say("\nthe end of %s.log:", name)
		for _, line := range all[max(0, len(all)-lines):] {
			d.tell("%s", term.Clean(line))
		}
	}
}

// await asks again and again until what is waited for has come, the time is
// over or the program in question has ended.
func await(ctx context.Context, p *process, within time.Duration, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%s did not come within %v", what, within))
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		done, err := ask()
		if gone := p.gone(); gone != nil {
			return gone
		}
		if err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// askEvery is how often the agent is asked how far it is.
const askEvery = 300 * time.Millisecond
