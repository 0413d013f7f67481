package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fernwerk/fernwerk/test/require"
)

// The agent's disk is full while it is offered an update and a product.
func TestAttack26_AFullDisk(t *testing.T) {
	require.Root(t)
	t.Parallel()
	o := siegeOf(t)
	v := o.machine(t, "offline", func(data string) {
		if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=140m,mode=700"); err != nil {
			require.Skip(t, "a small disk", err.Error())
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	})
	v.lies(t, o.first.shown(t)...)
	must(t, v.Start(t.Context()))
	v.works(t)
	await(t, "the update 001 has run", func() (bool, error) { return v.ran("update001") == 1, nil })
	filler := filepath.Join(v.Data, "filler")
	must(t, os.WriteFile(filler, make([]byte, 60<<20), 0o600))
	v.refuses(t, "fresh", "disk")
	fill(t, filler+"2")
	v.lies(t, o.first.shown(t, offered("001", "003"))...)
	await(t, "the agent meets the full disk", func() (bool, error) {
		log, err := os.ReadFile(v.Log)
		return v.heard(t)[0].Hits > 2 && strings.Contains(string(log), "no space left"), err
	})
	if v.ran("update003") > 0 || v.ran("fresh1.0") > 0 {
		t.Errorf("on a full disk 003 ran %d times, fresh %d times", v.ran("update003"), v.ran("fresh1.0"))
	}
	v.unharmed(t)
	must(t, os.Remove(filler+"2"))
	must(t, os.Remove(filler))
	await(t, "the update runs with room again", func() (bool, error) { return v.ran("update003") == 1, nil })
	if c := v.requests(t, "fresh"); c.Status != "done" || v.ran("fresh1.0") == 0 {
		t.Errorf("with room again: %+v", c)
	}
	v.works(t)
	if v.ran("update003") != 1 || v.ran("update001") != 1 {
		t.Errorf("003 ran %d times, 001 %d times", v.ran("update003"), v.ran("update001"))
	}
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for size := 64 << 10; size > 0; {
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 4
		case err != nil:
			t.Fatal(err)
		}
	}
}
