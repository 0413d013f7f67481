package nebula_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

func config() nebula.Config {
	hub := netip.MustParseAddr("10.134.0.1")
	return nebula.Config{CA: "-----BEGIN NEBULA CERTIFICATE V2-----\na\n", Certificate: "-----BEGIN NEBULA CERTIFICATE V2-----\nb: c\n", Port: 4243, Device: "fwmesh",
		Blocked: []string{strings.Repeat("0a", 32)}, Lighthouses: []netip.Addr{hub}, Static: map[netip.Addr][]string{hub: {"hub.example.org:4243", "[2001:db8::1]:4243"}},
		Preferred: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}, Inbound: []nebula.Rule{{Proto: "tcp", Ports: "22", Group: "vnode"}}}
}

// Whatever stands in a certificate stays a value: the text is JSON with the keys
// that we wrote.
func TestConfig_Render(t *testing.T) {
	text, err := config().Render("/data/mesh")
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		PKI struct {
			Cert, Key string
			Blocklist []string
		} `json:"pki"`
		Firewall struct{ Inbound []map[string]string }
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.PKI.Cert != config().Certificate || back.PKI.Key != "/data/mesh/host.key" || len(back.PKI.Blocklist) != 1 || back.Firewall.Inbound[0]["group"] != "vnode" {
		t.Errorf("%+v", back)
	}
	again, _ := config().Render("/data/mesh")
	if nebula.Stamp(text) != nebula.Stamp(again) {
		t.Error("the same configuration has two texts: each look would reload the process")
	}
	for name, spoil := range map[string]func(*nebula.Config){
		"no certificate":          func(c *nebula.Config) { c.Certificate = "" },
		"a path as authority":     func(c *nebula.Config) { c.CA = "/etc/passwd" },
		"a block that is none":    func(c *nebula.Config) { c.Blocked = []string{"any"} },
		"a lighthouse nowhere":    func(c *nebula.Config) { c.Static = nil },
		"a place with a line end": func(c *nebula.Config) { c.Static[c.Lighthouses[0]] = []string{"a\nb:1"} },
		"a device with a path":    func(c *nebula.Config) { c.Device = "../x" },
		"a rule of a shell":       func(c *nebula.Config) { c.Inbound[0].Group = "$(id)" },
		"no port":                 func(c *nebula.Config) { c.Port = 70000 },
	} {
		c := config()
		spoil(&c)
		if _, err := c.Render("/data/mesh"); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mesh")
	first, err := nebula.Key(dir, false)
	if err != nil || len(first) != 32 {
		t.Fatalf("%x %v", first, err)
	}
	path := filepath.Join(dir, nebula.KeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if same, err := nebula.Key(dir, false); err != nil || string(same) != string(first) {
		t.Errorf("%x %v", same, err)
	}
	if other, err := nebula.Key(dir, true); err != nil || string(other) == string(first) {
		t.Errorf("%x %v", other, err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nebula.Key(dir, false); err == nil {
		t.Error("what is no key was taken for one")
	}
}

func TestPeer_Why(t *testing.T) {
	lan := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
	at := func(s string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(s)} }
	for name, c := range map[string]struct {
		peer   nebula.Peer
		direct bool
		why    string
	}{
		"one LAN":      {nebula.Peer{Remote: at("192.168.1.12:1")[0]}, true, "in a network of this machine"},
		"routed":       {nebula.Peer{Remote: at("192.168.3.12:1")[0]}, true, "routing"},
		"public":       {nebula.Peer{Remote: at("198.51.100.2:1")[0]}, true, "public"},
		"clash":        {nebula.Peer{Known: at("192.168.1.12:1")}, false, "another site uses the same addresses"},
		"closed":       {nebula.Peer{Known: at("198.51.100.2:1")}, false, "router lets nothing in"},
		"out of reach": {nebula.Peer{Known: at("10.9.0.1:1")}, false, "no address of it"},
	} {
		if got := c.peer.Why(lan).Text(); c.peer.Direct() != c.direct || !strings.Contains(got, c.why) {
			t.Errorf("%s: %v %q", name, c.peer.Direct(), got)
		}
	}
}
