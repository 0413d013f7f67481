package health

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var fails atomic.Bool
		var tries atomic.Int64
		h := New(slog.New(slog.NewTextHandler(&log, nil)),
			Probe{"database", func(context.Context) error {
				tries.Add(1)
				if fails.Load() {
					return &fleet.Error{Code: fleet.Unavailable, Text: "cannot write", Err: errors.New("connection refused")}
				}
				return nil
			}},
			Probe{"disk", func(context.Context) error { return nil }})
		ctx := t.Context()
		if parts, err := h.Check(ctx); err != nil || len(parts) != 2 {
			t.Fatalf("%v, %v", parts, err)
		}
		fails.Store(true)
		if _, err := h.Check(ctx); err != nil || tries.Load() != 1 {
			t.Errorf("%d tries, %v: two who ask at once share an answer", tries.Load(), err)
		}
		time.Sleep(fresh + time.Second)
		parts, err := h.Check(ctx)
		if fleet.CodeOf(err) != fleet.Unavailable || parts[0].OK || !parts[1].OK || !strings.Contains(err.Error(), "database: cannot write: connection refused") {
			t.Errorf("%v, %v", parts, err)
		}
		fails.Store(false)
		time.Sleep(fresh + time.Second)
		if _, err := h.Check(ctx); err != nil {
			t.Errorf("it does not recover: %v", err)
		}
		if n := strings.Count(log.String(), "not healthy"); n != 1 || !strings.Contains(log.String(), "healthy again") {
			t.Errorf("%s", &log)
		}
		h.Stopping()
		if _, err := h.Check(ctx); fleet.CodeOf(err) != fleet.Unavailable {
			t.Errorf("it stops: %v", err)
		}
	})
}

// A part that hangs is failing, is not asked again meanwhile, and comes back.
func TestCheck_Hangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var tries atomic.Int64
		h := New(slog.New(slog.DiscardHandler), Probe{"depot", func(context.Context) error { tries.Add(1); <-release; return nil }})
		for range 3 {
			began := time.Now()
			if _, err := h.Check(t.Context()); fleet.CodeOf(err) != fleet.Unavailable || time.Since(began) > within {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			time.Sleep(fresh + time.Second)
		}
		if tries.Load() != 1 {
			t.Errorf("%d probes hang", tries.Load())
		}
		go h.Check(t.Context())
		synctest.Wait()
		began := time.Now()
		if h.Stopping(); time.Since(began) > 0 {
			t.Errorf("a stop waits %v for a probe", time.Since(began))
		}
		h.stopping.Store(false)
		close(release)
		for range 2 {
			time.Sleep(fresh + time.Second)
			h.Check(t.Context())
		}
		if _, err := h.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	p := Folder("data", dir)
	if err := p.Try(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
	os.Remove(dir)
	if err := p.Try(t.Context()); err == nil {
		t.Error("no folder is healthy")
	}
}
