package event_test

import (
	"context"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/test/require"
)

// A real interface that gets an address is an event, at once.
func TestNetwork_Kernel(t *testing.T) {
	require.Root(t)
	require.Tool(t, "ip")
	ready, done := make(chan error), make(chan struct{})
	defer close(done)
	out := make(event.Occurrences)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var tid int
	served := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its network
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err
			return
		}
		tid = unix.Gettid()
		ready <- nil
		<-done
	}()
	if err := <-ready; err != nil {
		require.Skip(t, "a network of its own", err.Error())
	}
	inside := func(fn func()) { // on a thread of that network
		ended := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			defer close(ended)
			fd, err := unix.Open("/proc/self/task/"+strconv.Itoa(tid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				err = unix.Setns(fd, unix.CLONE_NEWNET)
				unix.Close(fd)
			}
			if err != nil {
				t.Error(err)
				return
			}
			fn()
		}()
		<-ended
	}
	begun := make(chan struct{})
	go inside(func() {
		close(begun)
		served <- (&event.Network{Out: out}).Serve(ctx)
	})
	<-begun
	ip := func(args ...string) {
		inside(func() {
			if text, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Errorf("ip %v: %v\n%s", args, err, text)
			}
		})
	}
	ip("link", "add", "plug0", "type", "veth", "peer", "name", "plug1")
	ip("address", "add", "192.0.2.7/24", "dev", "plug0")
	ip("link", "set", "plug1", "up")
	ip("link", "set", "plug0", "up")
	select {
	case o := <-out:
		if o.Type != conf.NetConnection {
			t.Errorf("%s occurred", o)
		}
	case <-ctx.Done():
		t.Fatal("nothing occurred")
	}
	cancel()
	<-served
}
