package depotclient

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func host(id, network, master string) fleet.Host {
	return fleet.Host{Type: fleet.OpsiDepotserver, ID: fleet.HostID(id), NetworkAddress: network, MasterDepotID: fleet.HostID(master)}
}

var (
	head   = host("head.example.org", "10.0.0.0/8", "")
	branch = host("branch.example.org", "10.7.0.0/255.255.0.0", "head.example.org")
	room   = host("room.example.org", "10.7.3.0/24", "")
	other  = host("other.example.org", "2001:db8::/32", "")
	lost   = host("lost.example.org", "0.0.0.0/0", "head.example.org")
)

func TestOrder(t *testing.T) {
	all := []fleet.Host{head, branch, room, other, lost}
	near := map[string]time.Duration{"head.example.org": 30 * time.Millisecond, "branch.example.org": 5 * time.Millisecond, "other.example.org": time.Millisecond}
	addr := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, test := range []struct {
		name, mode string
		facts      Facts
		want       string // the order, first names
		reason     string
	}{
		{"nearest of all", Latency, Facts{Latency: near}, "other branch head lost room", "it is the nearest: 1ms"},
		{"nearest of the master's", MasterAndLatency, Facts{Latency: near}, "branch head lost other room", "it is the nearest of the master depot and its own: 5ms"},
		{"only another answers", MasterAndLatency, Facts{Latency: map[string]time.Duration{"room.example.org": 1}}, "room head branch lost other", "it is the nearest"},
		{"nobody answers", Latency, Facts{}, "head branch lost other room", "none answers"},
		{"narrowest network", NetworkAddress, Facts{Addresses: addr("192.168.1.1", "10.7.3.9")}, "room branch head lost other", "this machine is in its network 10.7.3.0/24"},
		{"a mask as opsi writes it", NetworkAddress, Facts{Addresses: addr("10.7.9.9")}, "branch head lost other room", "this machine is in its network 10.7.0.0/255.255.0.0"},
		{"IPv6", NetworkAddress, Facts{Addresses: addr("2001:db8::5")}, "other head branch lost room", "2001:db8::/32"},
		{"no network", NetworkAddress, Facts{Addresses: addr("192.168.1.1")}, "head branch lost other room", "no depot has this machine's network"},
		{"any other word", "", Facts{Addresses: addr("10.7.3.9")}, "room branch head lost other", "network"},
		{"drawn", Random, Facts{Draw: func(n int) int { return n - 1 }}, "lost head branch room other", "drawn from 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.facts.Master = "head.example.org"
			order, reason := Order(test.mode, all, test.facts)
			var got []string
			for _, h := range order {
				name, _, _ := strings.Cut(string(h.ID), ".")
				got = append(got, name)
			}
			if strings.Join(got, " ") != test.want || !strings.Contains(reason, test.reason) {
				t.Errorf("%v: %s", got, reason)
			}
		})
	}
}

// Whatever the facts are, no depot is lost or doubled, and the same facts give
// the same order whatever the order before.
func TestOrder_KeepsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []fleet.Host{head, branch, room, other, lost}
		f := Facts{Master: rapid.SampledFrom([]string{"", "head.example.org", "nobody"}).Draw(t, "master"), Latency: map[string]time.Duration{}, Draw: func(n int) int { return 0 }}
		for _, h := range all {
			if rapid.Bool().Draw(t, "answers") {
				f.Latency[string(h.ID)] = time.Duration(rapid.IntRange(0, 3).Draw(t, "distance"))
			}
		}
		mode := rapid.SampledFrom([]string{Latency, MasterAndLatency, NetworkAddress}).Draw(t, "mode")
		one, _ := Order(mode, all, f)
		two, _ := Order(mode, rapid.Permutation(all).Draw(t, "order"), f)
		if !slices.Equal(one, two) || len(one) != len(all) {
			t.Errorf("%v\n%v", one, two)
		}
	})
}

func FuzzNetwork(f *testing.F) {
	for _, s := range []string{"192.168.1.0/24", "192.168.1.0/255.255.255.0", "::1", "10.0.0.0/255.0.255.0", "1/2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := network(text)
		if err == nil && (!p.IsValid() || p.Bits() < 0) {
			t.Errorf("%q: %v", text, p)
		}
	})
}
