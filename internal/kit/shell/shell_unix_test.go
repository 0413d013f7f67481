//go:build unix

package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// watched is a writer that tells when something was written.
type watched struct {
	bytes.Buffer
	wrote chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.wrote != nil {
		close(w.wrote)
		w.wrote = nil
	}
	return n, err
}

func TestRun_ContextEnds_NothingIsLeftRunning(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the agent stops")
	for name, test := range map[string]struct {
		source string
		cancel bool
	}{
		"foreground, cancelled":                 {`"$SELF"`, true},
		"background, cancelled":                 {`"$SELF" & sleep 1000`, true},
		"background, the script ends by itself": {`"$SELF" & read line; exit 0`, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := &watched{wrote: make(chan struct{})}
			wrote := out.wrote
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s := Script{
				Name: "s", Source: strings.NewReader(test.source), Dir: t.TempDir(), Stdout: out,
				Env: []string{"SELF=" + self, role + "=stay"},
			}
			if test.cancel {
				go func() { <-wrote; cancel(why) }()
			} else {
				s.Source = strings.NewReader(`"$SELF" & await`)
				s.Commands = map[string]Command{"await": func(context.Context, []string, IO) error { <-wrote; return nil }}
			}
			_, err := Run(ctx, s)
			if test.cancel != errors.Is(err, why) {
				t.Errorf("got %v", err)
			}
			var pid int
			if _, err := fmt.Sscanf(out.String(), "pid %d", &pid); err != nil {
				t.Fatal(err)
			}
			if syscall.Kill(pid, 0) == nil {
				t.Errorf("process %d still runs", pid)
			}
		})
	}
}
