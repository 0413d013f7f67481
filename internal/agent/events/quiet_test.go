package events

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

func TestQuiet(t *testing.T) {
	office := conf.EventConfig{ID: "opsiclientd_start", Type: conf.DaemonStartup, Active: true}
	off, desktop, ready, timer := office, office, office, office
	off.Active, desktop.Type, ready.UseCachedConfig, timer.Type = false, conf.GUIStartup, true, conf.Timer
	for _, c := range []struct {
		name   string
		events []conf.EventConfig
		want   bool
	}{
		{"none", nil, true},
		{"an office", []conf.EventConfig{off, office}, false},
		{"the desktop's start alone", []conf.EventConfig{off, desktop}, false},
		{"WAN", []conf.EventConfig{off, ready, timer}, true},
	} {
		if got := Quiet(c.events); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A start is over when the server is met, and in any case some time later.
func TestLater(t *testing.T) {
	for _, met := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := New(Config{})
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			var after time.Duration
			ended := make(chan error, 1)
			go func() {
				ended <- p.Later(run.Func(func(ctx context.Context) error {
					after = time.Since(began)
					cancel()
					<-ctx.Done()
					return ctx.Err()
				})).Serve(ctx)
			}()
			want := startTime
			if met {
				want = 10 * time.Second
				<-time.After(want)
				p.Meet()
				p.Meet()
			}
			if err := <-ended; !errors.Is(err, context.Canceled) || after != want {
				t.Errorf("met %v: began after %v, ended with %v", met, after, err)
			}
		})
	}
}
