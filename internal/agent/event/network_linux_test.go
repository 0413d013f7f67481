package event_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/test/require"
)

const inside = "FERNWERK_TEST_INSIDE"

// In a network of its own: a real interface that gets an address is an event, because the
// kernel tells, and not because it is looked at every now and then.
func TestNetwork_Kernel(t *testing.T) {
	require.Root(t)
	require.Tool(t, "ip")
	require.Tool(t, "unshare")
	if os.Getenv(inside) == "" {
		cmd := exec.CommandContext(t.Context(), "unshare", "-n", os.Args[0], "-test.run", "^TestNetwork_Kernel$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	out := make(event.Occurrences)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- (&event.Network{Out: out}).Serve(ctx) }()
	for _, command := range []string{"link add plug0 type veth peer name plug1", "address add 192.0.2.7/24 dev plug0", "link set plug1 up", "link set plug0 up"} {
		if text, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", command, err, text)
		}
	}
	select {
	case o := <-out:
		if o.Type != conf.NetConnection {
			t.Errorf("%s occurred", o)
		}
	case <-time.After(event.LookEvery - time.Second):
		t.Error("nothing occurred before it was looked at")
	}
	cancel()
	<-served
}
