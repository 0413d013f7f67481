package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// diary notes what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

// until returns a service that runs until its context ends and notes its stop.
func (d *diary) until(name string, result func(context.Context) error) Service {
	return Func(func(ctx context.Context) error {
		<-ctx.Done()
		d.add("stop " + name)
		return result(ctx)
	})
}

func clean(ctx context.Context) error { return ctx.Err() }

func TestGroup_ContextEnds_StopsInReverseWithoutError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var g Group
		for _, name := range []string{"store", "listener", "timer"} {
			g.Add(name, d.until(name, func(ctx context.Context) error {
				time.Sleep(time.Second) // bubble time: each stop takes a while
				d.add("end " + name)
				return ctx.Err()
			}))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Serve(ctx); err != nil {
			t.Fatalf("clean stop gave %v", err)
		}
		want := []string{"stop timer", "end timer", "stop listener", "end listener", "stop store", "end store"}
		if diff := cmp.Diff(want, d.lines); diff != "" {
			t.Error(diff)
		}
	})
}

func TestGroup_Results(t *testing.T) {
	boom := errors.New("port in use")
	tests := []struct {
		name string
		fill func(g *Group, d *diary)
		is   error
		text string
	}{
		{"first failure wins", func(g *Group, d *diary) {
			g.Add("store", d.until("store", func(context.Context) error { return errors.New("later") }))
			g.Add("listener", Func(func(context.Context) error { return boom }))
		}, boom, "service listener: port in use"},
		{"ending by itself is a failure", func(g *Group, d *diary) {
			g.Add("store", d.until("store", clean))
			g.Add("listener", Func(func(context.Context) error { return nil }))
		}, ErrEnded, "service listener: ended without being asked to"},
		{"foreign deadline is a failure", func(g *Group, d *diary) {
			g.Add("sync", Func(func(context.Context) error { return fmt.Errorf("dial: %w", context.DeadlineExceeded) }))
		}, context.DeadlineExceeded, "service sync: dial: context deadline exceeded"},
		{"foreign cancel before the stop is a failure", func(g *Group, d *diary) {
			g.Add("sync", Func(func(context.Context) error { return context.Canceled }))
			g.Add("store", d.until("store", clean))
		}, context.Canceled, "service sync: context canceled"},
		{"failure while stopping", func(g *Group, d *diary) {
			g.Add("store", d.until("store", func(context.Context) error { return boom }))
		}, boom, "service store: port in use"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				var g Group
				test.fill(&g, &d)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := g.Serve(ctx)
				if !errors.Is(err, test.is) || err.Error() != test.text {
					t.Errorf("got %v, want %s", err, test.text)
				}
			})
		})
	}
}

func TestGroup_ServiceHangs_ErrorNamesItAndOthersStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := Group{StopWithin: 3 * time.Second}
		release := make(chan struct{})
		g.Add("store", d.until("store", clean))
		g.Add("stuck", Func(func(context.Context) error { <-release; return nil }))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := g.Serve(ctx)
		close(release)
		if err == nil || err.Error() != "cannot stop service stuck: still running after 3s" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("stop took %v", took)
		}
		if diff := cmp.Diff([]string{"stop store"}, d.lines); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSupervise_FailuresOfAllKindsAreRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, nil))
		starts := 0
		svc := Func(func(ctx context.Context) error {
			starts++
			switch starts {
			case 1:
				return fmt.Errorf("read: %w", context.DeadlineExceeded)
			case 2:
				return context.Canceled
			case 3:
				panic("bad packet")
			case 4:
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := Supervise("tunnel", svc, log).Serve(ctx); err != nil {
			t.Errorf("stopped with %v", err)
		}
		if starts != 5 {
			t.Errorf("started %d times, want 5", starts)
		}
		for _, want := range []string{"read: context deadline exceeded", "bad packet", "fails too often", "service=tunnel"} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("log lacks %q:\n%s", want, logged.String())
			}
		}
	})
}

func TestSupervise_BacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		svc := Func(func(context.Context) error { starts++; return errors.New("refused") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := Supervise("tunnel", svc, slog.New(slog.DiscardHandler)).Serve(ctx); err != nil {
			t.Error(err)
		}
		if starts < 100 || starts > 2000 {
			t.Errorf("%d starts in an hour of refusals", starts)
		}
	})
}

type coded struct{ code int }

func (coded) Error() string   { return "cannot open depot" }
func (c coded) ExitCode() int { return c.code }
func (coded) Hint() string    { return "run fernwerk depot list" }

func TestReport(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestReport_Child$")
	child.Env = []string{"RUN_TEST_CHILD=1"}
	childErr := child.Run()
	if childErr == nil {
		t.Fatal("the child did not fail")
	}
	tests := []struct {
		err  error
		code int
		out  string
	}{
		{nil, 0, ""},
		{errors.New("no"), 1, "error: no\n"},
		{fmt.Errorf("sync: %w", coded{4}), 4, "error: sync: cannot open depot\nhint: run fernwerk depot list\n"},
		{coded{0}, 1, "error: cannot open depot\nhint: run fernwerk depot list\n"},
		{fmt.Errorf("script: %w", childErr), 1, "error: script: exit status 3\n"},
	}
	for _, test := range tests {
		var out bytes.Buffer
		if code := Report(&out, test.err); code != test.code || out.String() != test.out {
			t.Errorf("%v: code %d, printed %q", test.err, code, out.String())
		}
	}
}

func TestReport_Child(t *testing.T) {
	if os.Getenv("RUN_TEST_CHILD") != "" {
		os.Exit(3)
	}
}

func TestServe_Signals(t *testing.T) {
	t.Run("first cancels", func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- os.Interrupt
		var out bytes.Buffer
		code := serve(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, signals, &out, nil)
		if code != 1 || out.String() != "error: interrupted\n" {
			t.Errorf("code %d, printed %q", code, out.String())
		}
	})
	t.Run("clean stop is success", func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- os.Interrupt
		if code := serve(func(ctx context.Context) error { <-ctx.Done(); return nil }, signals, io.Discard, nil); code != 0 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("second exits", func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- os.Interrupt
		signals <- os.Interrupt
		exited := make(chan int, 1)
		serve(func(context.Context) error {
			if code := <-exited; code != 1 {
				t.Errorf("exit code %d", code)
			}
			return nil
		}, signals, io.Discard, func(code int) { exited <- code })
	})
}

// A server's words in an error do not steer the terminal.
func TestReport_Inert(t *testing.T) {
	var out strings.Builder
	Report(&out, errors.New("cannot join: \x1b[2Jno\nand \u202emore"))
	if got := out.String(); got != "error: cannot join: \\x1b[2Jno\nand \\u202emore\n" {
		t.Errorf("%q", got)
	}
}
