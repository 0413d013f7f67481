package depot

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/require"
)

// A real full disk: nobody answers the question for free space rightly.
func TestInstall_DiskFull(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	p := newPlace(t)
	p.install(t, "1.0-1", nil)
	before := p.state(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		require.Skip(t, "a small file system", err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.Remove(p.path(stagingDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, p.path(stagingDir)); err != nil {
		t.Fatal(err)
	}
	p.free = func(string) (uint64, error) { return 1 << 40, nil }
	_, err := p.try(t, "2.0-1", pkg{"CLIENT_DATA/big": strings.Repeat("x", 4<<20)}, Options{})
	if fleet.CodeOf(err) != fleet.Unavailable || !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in staging: %v, %v", left, err)
	}
	if err := errors.Join(os.Remove(p.path(stagingDir)), os.Mkdir(p.path(stagingDir), 0o755)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, p.state(t)); diff != "" {
		t.Error(diff)
	}
}
