package update_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/dns/update"
	"github.com/fernwerk/fernwerk/test/require"
)

const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"

// output is what a program wrote, while it still runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// bind is a real bind with the two zones, in a folder of its own.
func bind(t *testing.T) (address string) {
	t.Helper()
	named := require.Tool(t, "named")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	zone := func(name string) string {
		text := fmt.Sprintf("$TTL 60\n@ IN SOA ns.%[1]s. admin.%[1]s. 1 300 60 86400 30\n@ IN NS ns.grid.example.org.\n", name)
		if name == "grid.example.org" {
			text += "ns IN A 127.0.0.1\nmail IN A 192.0.2.25\nvnode-9-9 IN CNAME mail\n"
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("zone %q { type primary; file %q; allow-transfer { key ddns; }; update-policy { grant ddns zonesub any; }; };\n", name, file)
	}
	conf := fmt.Sprintf(`options { directory %q; pid-file none; session-keyfile none; listen-on port %s { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; notify no; dnssec-validation no; };
controls { };
key ddns { algorithm hmac-sha256; secret %q; };
%s%s`, dir, port, secret, zone("grid.example.org"), zone("134.10.in-addr.arpa"))
	file := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var said output
	c := exec.CommandContext(ctx, named, "-g", "-c", file, "-n", "1")
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); c.Wait() })
	for range 100 {
		if strings.Contains(said.String(), ": running") {
			return address
		}
		if _, err := (&update.Driver{Server: address, Zone: "grid.example.org", KeyName: "ddns", Algorithm: "hmac-sha256", Secret: secret}).Read(t.Context()); err == nil {
			return address
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("bind does not answer: %s", said.String())
	return ""
}

func nodeAt(p *node.Plan, address string, up bool) node.Node {
	a := netip.MustParseAddr(address)
	name, _ := p.Name(a)
	return node.Node{HostID: "client1.example.org", Name: name, Address: a, Up: up, Resolves: up}
}

// The whole way of a node's name at a real bind: made, right, moved, gone; what
// others made stays.
func TestUpdate_Bind(t *testing.T) {
	address := bind(t)
	d := &update.Driver{Server: address, Zone: "grid.example.org", Reverse: []string{"134.10.in-addr.arpa"}, KeyName: "ddns", Algorithm: "hmac-sha256", Secret: secret}
	p, err := node.NewPlan("10.134.0.0/16", "vnode-{a}-{b}", "grid.example.org")
	if err != nil {
		t.Fatal(err)
	}
	n := nodeAt(p, "10.134.7.38", true)
	read := func() map[string]node.State {
		t.Helper()
		all, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	apply := func(n node.Node, gone bool) {
		t.Helper()
		was, found := read()[n.Name]
		if err := d.Apply(t.Context(), node.Change{Node: n, Found: found, Was: was, Gone: gone}); err != nil {
			t.Fatal(err)
		}
	}
	if why := d.Differs(n, read()[n.Name], false); why == "" {
		t.Error("a name that is not there is right")
	}
	for range 2 { // again changes nothing
		apply(n, false)
		if why := d.Differs(n, read()[n.Name], true); why != "" {
			t.Error(why)
		}
		if got := lookup(t, address, "-x", "10.134.7.38"); got != "vnode-7-38.grid.example.org." {
			t.Errorf("it points to %q", got)
		}
	}
	// Somebody changes it by hand: found, and made right.
	wrong := n
	wrong.Address = netip.MustParseAddr("10.134.7.99")
	apply(wrong, false)
	if got := lookup(t, address, "-x", "10.134.7.38"); got != "" {
		t.Errorf("the former address points to %q", got)
	}
	if why := d.Differs(n, read()[n.Name], true); !strings.Contains(why, "another address") {
		t.Errorf("%q", why)
	}
	apply(n, false)
	if got := lookup(t, address, n.Name, "A"); got != "10.134.7.38" {
		t.Errorf("it resolves to %q", got)
	}
	down := n
	down.Up, down.Resolves = false, false
	if why := d.Differs(down, read()[n.Name], true); why == "" {
		t.Error("a node that is down may resolve")
	}
	apply(down, false)
	if state, found := read()[n.Name]; found {
		t.Errorf("%+v", state)
	}
	if got := lookup(t, address, "-x", "10.134.7.38"); got != "" {
		t.Errorf("it points to %q", got)
	}
	apply(n, false)
	apply(node.Node{Name: n.Name}, true) // its host was deleted
	if _, found := read()[n.Name]; found || lookup(t, address, "-x", "10.134.7.38") != "" {
		t.Error("it is still there")
	}
	taken := nodeAt(p, "10.134.9.9", true)
	if err := d.Apply(t.Context(), node.Change{Node: taken, Found: true, Was: read()[taken.Name]}); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("a name that is somebody's alias: %v", err)
	}
	if err := d.Apply(t.Context(), node.Change{Node: taken}); err == nil { // even if it was made meanwhile
		t.Error("the alias is overwritten")
	}
	if got := lookup(t, address, "mail.grid.example.org", "A"); got != "192.0.2.25" {
		t.Errorf("what others made is %q", got)
	}
	for what, change := range map[string]func(*update.Driver){
		"secret": func(d *update.Driver) { d.Secret = "d3Jvbmd3cm9uZ3dyb25nd3JvbmcK" },
		"key":    func(d *update.Driver) { d.KeyName = "other" },
		"zone":   func(d *update.Driver) { d.Zone = "example.net" },
		"server": func(d *update.Driver) { d.Server = "127.0.0.1:1" },
	} {
		bad := *d
		change(&bad)
		if _, err := bad.Read(t.Context()); err == nil {
			t.Errorf("read with a wrong %s", what)
		}
		if err := bad.Apply(t.Context(), node.Change{Node: n}); err == nil {
			t.Errorf("updated with a wrong %s", what)
		}
	}
}

func lookup(t *testing.T, address string, args ...string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	out, err := exec.CommandContext(t.Context(), require.Tool(t, "dig"), append([]string{"@127.0.0.1", "-p", port, "+short", "+tries=1", "+time=3"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
