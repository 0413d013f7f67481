package steer

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/require"
)

const inside = "FERNWERK_TEST_INSIDE"

// In a network of its own: a tunnel's check of sources is loosened, a LAN's is not,
// whatever address somebody there gives the machine.
func TestLoosen_TunnelsOnly(t *testing.T) {
	require.Root(t)
	require.Tool(t, "ip")
	require.Tool(t, "unshare")
	if os.Getenv(inside) == "" {
		cmd := exec.CommandContext(t.Context(), "unshare", "-n", os.Args[0], "-test.run", "^TestLoosen_TunnelsOnly$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	for _, do := range []string{"link add lan0 type veth peer name out0", "addr add 10.134.5.5/24 dev lan0", "tuntap add tun9 mode tun", "addr add 10.134.0.9/16 dev tun9"} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(do)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", do, err, out)
		}
	}
	for name, want := range map[string]string{"lan0": "1", "tun9": "2"} {
		path := "/proc/sys/net/ipv4/conf/" + name + "/rp_filter"
		if err := os.WriteFile(path, []byte("1\n"), 0); err != nil {
			t.Fatal(err)
		}
		if err := Loosen(name); err != nil {
			t.Error(err)
		}
		if is, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(is)) != want {
			t.Errorf("%s: %q, %v", name, is, err)
		}
	}
}
