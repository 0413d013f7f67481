package places

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

func TestVirtual(t *testing.T) {
	for name, is := range map[string]bool{
		"tun0": true, "tap3": true, "wg0": true, "docker0": true, "br-3f2a1b4c5d6e": true, "veth12ab34c": true, "virbr0": true, "virbr0-nic": true, "lo": true, "cali1234abcd5": true, "utun4": true, "lo0": true, "cilium_host": true,
		"eth0": false, "enp0s31f6": false, "wlan0": false, "bond0": false, "br0": false, "br0.7": false, "br-lan": false, "lan": false, "local0": false, "tungsten": false, "Ethernet 2": false, "Loop": false,
	} {
		if virtual.MatchString(name) != is {
			t.Errorf("%s: %t", name, !is)
		}
	}
}

const inside = "FERNWERK_TEST_INSIDE"

// In a network of its own: what counts as a place, and that a change is heard at once.
func TestHereAndWatch(t *testing.T) {
	require.Root(t)
	require.Tool(t, "ip")
	require.Tool(t, "unshare")
	if os.Getenv(inside) == "" {
		cmd := exec.CommandContext(t.Context(), "unshare", "-n", os.Args[0], "-test.run", "^TestHereAndWatch$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	for _, name := range []string{"all", "default"} { // its addresses come by themselves, and late
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0o644); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	heard := make(chan struct{}, 1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Watch(ctx, func() {
			select {
			case heard <- struct{}{}:
			default:
			}
		})
	}()
	<-heard // it listens
	for _, c := range []struct {
		what string
		do   []string
		want []string
	}{
		{"one network", []string{"link add eth0 type veth peer name out0", "link set out0 up", "addr add 192.168.1.2/24 dev eth0", "link set eth0 up"}, []string{"192.168.1.2/24"}},
		{"a second address", []string{"addr add 10.9.0.7/16 dev eth0"}, []string{"10.9.0.7/16", "192.168.1.2/24"}},
		{"a container's network and tunnels", []string{"link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up",
			"tuntap add vpn mode tun", "addr add 10.134.0.9/16 dev vpn", "link set vpn up", "link set lo up"}, []string{"10.9.0.7/16", "192.168.1.2/24"}},
		{"moved", []string{"addr add 192.168.7.2/24 dev eth0", "addr del 10.9.0.7/16 dev eth0", "addr del 192.168.1.2/24 dev eth0"}, []string{"192.168.7.2/24"}},
		{"left out", nil, nil},
		{"down", []string{"link set eth0 down"}, nil},
	} {
		if c.what == "left out" {
			if got := Here("eth0"); len(got) > 0 {
				t.Errorf("%s: %v", c.what, got)
			}
			continue
		}
		select {
		case <-heard: // of the former
		default:
		}
		for _, do := range c.do {
			if out, err := exec.CommandContext(ctx, "ip", strings.Fields(do)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v %s", do, err, out)
			}
		}
		select {
		case <-heard:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: nothing was heard", c.what)
		}
		for until := time.After(5 * time.Second); ; {
			var got []string
			for _, p := range Here() {
				got = append(got, p.String())
			}
			slices.Sort(got)
			if slices.Equal(got, c.want) {
				break
			}
			select {
			case <-heard:
			case <-until:
				t.Fatalf("%s: %v, want %v", c.what, got, c.want)
			}
		}
	}
	stop()
	<-ended
}
