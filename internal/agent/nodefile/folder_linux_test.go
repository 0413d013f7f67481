package nodefile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who owns a folder on the way puts a pipe in its place, and the folder back, again and
// again: nobody waits at the pipe, where files of the node would stay as they are.
func TestOpenPlace_APipeComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	folder, pipe := filepath.Join(dir, "folder"), filepath.Join(dir, "pipe")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, swapped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swapped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, folder, unix.AT_FDCWD, pipe, unix.RENAME_EXCHANGE)
			}
		}
	}()
	done := make(chan int)
	go func() {
		opened := 0
		for range 60000 {
			p, err := openPlace(dir, "/folder/file", account{name: "me", uid: os.Geteuid(), gid: os.Getegid()}, 0o600, false)
			if err == nil {
				p.Close()
				opened++
			}
		}
		done <- opened
	}()
	select {
	case n := <-done:
		t.Logf("it was the folder %d times", n)
	case <-time.After(20 * time.Second):
		t.Error("it waits at the pipe")
		w, err := os.OpenFile(pipe, os.O_RDWR|unix.O_NONBLOCK, 0) // so that it can end
		if err == nil {
			defer w.Close()
		}
	}
	close(stop)
	<-swapped
}
