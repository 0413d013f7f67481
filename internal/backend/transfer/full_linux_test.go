package transfer_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

func TestSync_DiskFull(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small file system to fill: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	tr := tree{"big": random(1, 2<<20), "a": random(2, 100)}
	for i := range 100 {
		tr["small"+strings.Repeat("x", i)] = random(uint64(i), 3000)
	}
	src := tr.source(t)
	job := tr.job(t, src, tr.source(t))
	job.Stage = filepath.Join(mount, "stage")
	_, err := transfer.Sync(t.Context(), job)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(fleet.HintOf(err), "room") {
		t.Errorf("error %v, hint %q", err, fleet.HintOf(err))
	}
	if src.asked != 1 {
		t.Errorf("the source was asked %d times although the disk is full", src.asked)
	}
	sent := src.sent.Load()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	run(t, job)
	needed := job.Index.Size(chunkindex.Ranges{{First: 0, End: len(job.Index.Chunks)}})
	if total := src.sent.Load(); sent < 500<<10 || total > needed+4*cutSize {
		t.Errorf("%d bytes, then %d of %d in total: what had arrived was fetched again", sent, total, needed)
	}
}
