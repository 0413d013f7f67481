package runonce

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/test/require"
)

// crowded is a machine whose data is on a small disk of its own.
func crowded(t *testing.T) (m *machine, fill func(), free func()) {
	t.Helper()
	require.Root(t)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		require.Skip(t, "a small disk", err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	m = newMachine(t, disk)
	filler := filepath.Join(disk, "filler")
	fill = func() {
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		piece := make([]byte, 4<<10)
		for {
			if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	free = func() {
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
	}
	return m, fill, free
}

// On a full disk no script begins; with room again it runs, once (attack 26).
func TestDiskFull_BeforeTheIntent(t *testing.T) {
	m, fill, free := crowded(t)
	m.publish(header(1), "")
	if err := m.life(t); err != nil { // the database has its size
		t.Fatal(err)
	}
	m.publish(header(2), "")
	r, stop := m.start(t, nil)
	defer stop()
	fill()
	if err := m.round(r); err == nil {
		t.Error("a full disk is no error")
	}
	if got := strings.Join(m.marked(), " "); got != "001" {
		t.Errorf("ran %q", got)
	}
	free()
	if err := m.round(r); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "001 002", map[string]update.State{"001": update.Done, "002": update.Done})
}

// A script that fills the disk has run: its result is written when there is room,
// and nothing further runs before.
func TestDiskFull_BeforeTheResult(t *testing.T) {
	m, _, free := crowded(t)
	m.publish(header(1), "dd if=/dev/zero of='"+m.dir+"/filler' bs=4k 2>/dev/null; sync; true")
	m.publish(header(2), "")
	waits := &listener{heard: make(chan struct{}, 100)}
	r, stop := m.start(t, nil)
	defer stop()
	r.cfg.Log = slog.New(waits)
	done := make(chan error, 1)
	go func() { done <- m.round(r) }()
	select {
	case <-waits.heard:
	case err := <-done:
		t.Fatalf("nothing was noticed: %v", err)
	}
	if got := strings.Join(m.marked(), " "); got != "001" {
		t.Errorf("ran %q", got)
	}
	free()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	m.expect(t, "001 002", map[string]update.State{"001": update.Done, "002": update.Done})
}

// listener hears that a result waits for room.
type listener struct {
	slog.Handler
	heard chan struct{}
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

func (l *listener) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "The result of an update cannot be written") {
		l.heard <- struct{}{}
	}
	return nil
}
