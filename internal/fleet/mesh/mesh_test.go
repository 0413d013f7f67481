package mesh

import (
	"bytes"
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func sample() Map {
	return Map{Network: netip.MustParsePrefix("10.134.0.0/16"), CA: "-----BEGIN NEBULA CERTIFICATE V2-----\n",
		Hubs:    []Hub{{Address: netip.MustParseAddr("10.134.0.1"), At: []string{"hub.example.org:4243", "[2001:db8::1]:4243"}}},
		Nodes:   []Node{{HostID: "client1.example.org", Address: netip.MustParseAddr("10.134.7.38"), At: []netip.AddrPort{netip.MustParseAddrPort("192.168.1.11:4243")}}},
		Blocked: []string{strings.Repeat("0a", 32)},
		Allow:   []Rule{{To: "vnode", From: "any", Proto: "tcp", Ports: "22"}},
		Kinds:   []Kind{{ID: "vnode", Routes: []netip.Prefix{netip.MustParsePrefix("129.88.70.0/26")}, DNS: []netip.Addr{netip.MustParseAddr("10.134.0.1")}, Search: "grid.example.org"}},
		Bridged: true}
}

func sign(t testing.TB, key ed25519.PrivateKey, text []byte) Signed {
	t.Helper()
	return Signed{Map: text, Key: key.Public().(ed25519.PublicKey), Signature: ed25519.Sign(key, Text(text))}
}

var ours = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))

func TestSigned_Open(t *testing.T) {
	public := ours.Public().(ed25519.PublicKey)
	good, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sign(t, ours, good).Open(public); err != nil || got.Nodes[0].HostID != "client1.example.org" {
		t.Fatalf("%v %v", got, err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	if _, err := sign(t, other, good).Open(public); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("of another authority: %v", err)
	}
	bare := sign(t, ours, good)
	bare.Signature = ed25519.Sign(ours, good) // without the words that say what it is
	if _, err := bare.Open(public); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("signed as something else: %v", err)
	}
	changed := sign(t, ours, good)
	changed.Map = bytes.Replace(good, []byte("7.38"), []byte("7.39"), 1)
	if _, err := changed.Open(public); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("changed: %v", err)
	}
	if _, err := sign(t, ours, append(good, ' ')).Open(public); err == nil {
		t.Error("with a blank at its end")
	}
	for name, spoil := range map[string]func(*Map){
		"a network with bits of a node":  func(m *Map) { m.Network = netip.MustParsePrefix("10.134.0.1/16") },
		"a hub elsewhere":                func(m *Map) { m.Hubs[0].Address = netip.MustParseAddr("10.135.0.1") },
		"a hub with a line end":          func(m *Map) { m.Hubs[0].At = []string{"hub\n:4243"} },
		"a hub without a port":           func(m *Map) { m.Hubs[0].At = []string{"hub"} },
		"a hub nowhere":                  func(m *Map) { m.Hubs[0].At = nil },
		"a node elsewhere":               func(m *Map) { m.Nodes[0].Address = netip.MustParseAddr("192.0.2.1") },
		"a node that is no host":         func(m *Map) { m.Nodes[0].HostID = "a b" },
		"a node on the loopback":         func(m *Map) { m.Nodes[0].At[0] = netip.MustParseAddrPort("127.0.0.1:4243") },
		"a node on port 0":               func(m *Map) { m.Nodes[0].At[0] = netip.MustParseAddrPort("192.0.2.1:0") },
		"blocked what is no fingerprint": func(m *Map) { m.Blocked = []string{"x"} },
		"a rule for another protocol":    func(m *Map) { m.Allow[0].Proto = "gre" },
		"a kind without a name":          func(m *Map) { m.Kinds[0].ID = "" },
		"a route with bits of a node":    func(m *Map) { m.Kinds[0].Routes[0] = netip.MustParsePrefix("129.88.70.1/26") },
		"too many routes":                func(m *Map) { m.Kinds[0].Routes = slices.Repeat(m.Kinds[0].Routes, MaxRoutes+1) },
		"a DNS server of a zone":         func(m *Map) { m.Kinds[0].DNS[0] = netip.MustParseAddr("fe80::1%eth0") },
		"a DNS server of nobody":         func(m *Map) { m.Kinds[0].DNS[0] = netip.Addr{} },
		"a search domain with a line":    func(m *Map) { m.Kinds[0].Search = "a\nnameserver 192.0.2.1" },
		"a rule with a group of lines":   func(m *Map) { m.Allow[0].From = "a\nb" },
	} {
		m := sample()
		spoil(&m)
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sign(t, ours, text).Open(public); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestValidPlace(t *testing.T) {
	for at, good := range map[string]bool{"hub.example.org:4243": true, "192.0.2.1:1": true, "[2001:db8::1]:65535": true,
		"": false, "hub": false, "hub:": false, "hub:0": false, "hub:65536": false, "hub:04": false, "2001:db8::1:4243": false, "[hub]:1": false,
		"[fe80::1%eth0]:1": false, "a b:1": false, "-x:1": false, ":1": false} {
		if err := ValidPlace(at); (err == nil) != good {
			t.Errorf("%q: %v", at, err)
		}
	}
}

func TestRequest_Check(t *testing.T) {
	good := func() Request { return Request{Key: make([]byte, 32), Since: 1} }
	r := good()
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Request){
		"a short key":    func(r *Request) { r.Key = r.Key[:31] },
		"many places":    func(r *Request) { r.Places = make([]netip.AddrPort, MaxPlaces+1) },
		"no place":       func(r *Request) { r.Places = make([]netip.AddrPort, 1) },
		"a group of all": func(r *Request) { r.Places = []netip.AddrPort{netip.MustParseAddrPort("224.0.0.1:1")} },
		"everybody's":    func(r *Request) { r.Places = []netip.AddrPort{netip.MustParseAddrPort("255.255.255.255:1")} },
		"no network":     func(r *Request) { r.LAN = make([]netip.Prefix, 1) },
		"many paths": func(r *Request) {
			r.Paths = slices.Repeat([]Path{{Address: netip.MustParseAddr("10.0.0.1"), Reason: "lan"}}, MaxPaths+1)
		},
		"a path with words": func(r *Request) {
			r.Paths = []Path{{Address: netip.MustParseAddr("10.0.0.1"), Reason: "\x1b[31m"}}
		},
		"a path through no place": func(r *Request) {
			r.Paths = []Path{{Address: netip.MustParseAddr("10.0.0.1"), Reason: "lan", Via: "fe80::1%eth0"}}
		},
		"before all time":   func(r *Request) { r.Since = -1 },
		"holds what is not": func(r *Request) { r.Holds = "x" },
	} {
		r := good()
		if spoil(&r); r.Check() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// What opens is written as it would be here, and nothing else is.
func FuzzSigned_Open(f *testing.F) {
	good, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"network":"10.0.0.0/8","ca":"","hubs":null,"nodes":null,"blocked":null,"allow":null,"kinds":null,"bridged":false}`))
	public := ours.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := sign(t, ours, text).Open(public)
		if err != nil {
			return
		}
		if back, err := m.Encode(); err != nil || !bytes.Equal(back, text) {
			t.Fatalf("%s\n%s\n%v", text, back, err)
		}
	})
}
