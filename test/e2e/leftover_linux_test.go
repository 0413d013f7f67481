package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a server finds at its start: the socket of an openvpn that is dead, an openvpn
// without a socket, another program on the port, another one at the device. It says
// what it cannot do and what helps, works on without the tunnel, and has it by itself
// when the obstacle is gone.
func TestTunnel_Leftovers(t *testing.T) {
	n := newTunnelNet(t)
	dir := filepath.Join(n.dir, "d", "tunnel", "vpns")
	socket := filepath.Join(dir, "management.sock")
	hub := &hub{net: &twoHubs{tunnelNet: n}, name: "hub"}
	said := func(text string) int {
		log, _ := os.ReadFile(filepath.Join(n.dir, "fernwerkd.log"))
		return strings.Count(string(log), text)
	}
	// starts has the server start, and tells how the tunnel came up.
	starts := func(why string) {
		t.Helper()
		before := said("Tunnel serves")
		n.serve()
		took := n.until(40*time.Second, why+": the tunnel serves", func() bool { return said("Tunnel serves") > before && hub.vpn() != 0 })
		t.Logf("%s: the tunnel serves after %v", why, took)
	}
	kills := func(pid int) {
		t.Helper()
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		n.until(10*time.Second, "it is dead", func() bool { return hub.vpn() == 0 })
	}
	starts("a clean folder")

	n.stop()
	kills(hub.vpn())
	if _, err := os.Stat(socket); err != nil {
		t.Fatalf("a killed openvpn leaves no socket: %v", err)
	}
	starts("the socket of a dead one")

	n.stop()
	kills(hub.vpn())
	must(t, os.RemoveAll(socket))
	must(t, os.Mkdir(socket, 0o700))
	must(t, os.WriteFile(filepath.Join(socket, "x"), nil, 0o600))
	starts("a folder where the socket shall be")

	n.stop()
	lost := hub.vpn()
	must(t, os.Remove(socket))
	starts("an openvpn without a socket")
	if now := hub.vpn(); now == lost {
		t.Errorf("it is the same openvpn, %d", now)
	}

	// obstacle is a program that is in the way.
	obstacle := func(why string, want []string, there func() bool, argv ...string) {
		t.Helper()
		n.stop()
		kills(hub.vpn())
		other := n.enter(t.Context(), "hub", argv...)
		n.background(other, strings.ReplaceAll(why, " ", "-")+".log")
		n.until(20*time.Second, why+": it is there", there)
		before := said("Tunnel serves")
		n.serve() // it answers, whatever the tunnel does
		n.until(20*time.Second, why+": it says so", func() bool {
			for _, w := range want {
				if said(w) == 0 {
					return false
				}
			}
			return true
		})
		must(t, n.fernwerk("host", "list"))
		other.Process.Kill()
		other.Wait()
		took := n.until(40*time.Second, why+": the tunnel serves", func() bool { return said("Tunnel serves") > before })
		t.Logf("%s: the tunnel serves %v after that was gone", why, took)
	}
	second := filepath.Join(n.dir, "o")
	obstacle("another program on the port", []string{"another program listens on tcp port 4242", "ss -lnp 'sport = :4242'"},
		func() bool {
			return n.enter(t.Context(), "hub", "sh", "-c", "ss -Hln 'sport = :4242' | grep -q .").Run() == nil
		},
		n.p.Path("fernwerkd"), "serve", "--data", second, "--listen", hubAddress+":4242")
	must(t, os.WriteFile(filepath.Join(n.dir, "other.conf"), fmt.Appendf(nil, "dev tun0\ndev-type tun\nproto udp\nport 9999\nifconfig 192.0.2.1 192.0.2.2\nsecret %s\ncipher AES-256-CBC\n", filepath.Join(n.dir, "secret")), 0o600))
	n.run("openvpn", "--genkey", "secret", filepath.Join(n.dir, "secret"))
	obstacle("another program at the device", []string{"another program has the network device tun0", "ip -d link show tun0"},
		func() bool { return n.enter(t.Context(), "hub", "ip", "link", "show", "tun0").Run() == nil },
		"openvpn", "--config", filepath.Join(n.dir, "other.conf"))
}
