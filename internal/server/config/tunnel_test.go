package config

import (
	"strings"
	"testing"
)

func TestTunnel_Serve(t *testing.T) {
	good := Tunnel{Name: "vpns", Remote: "vpn.example.org", Serve: true}
	s, err := good.Server()
	if err != nil || s.Device != "tun-vpns" || s.Port != 4242 || s.Network.String() != "10.134.0.0/16" || s.Ping != 10 || s.Dead != 120 || s.MaxClients != 1000 || s.UDP || !s.Between {
		t.Errorf("%+v %v", s, err)
	}
	if wrong := checkTunnels([]Tunnel{good, {Name: "far", Remote: "h", Serve: true, Network: "10.135.0.0/16"}, {Name: "foreign", Remote: "h"}}); len(wrong) > 0 {
		t.Error(wrong)
	}
	long := good
	long.Name = "a-very-long-name-of-a-tunnel"
	if s, err := long.Server(); err != nil || len(s.Device) > 15 {
		t.Errorf("%q %v", s.Device, err)
	}
	for want, all := range map[string][]Tunnel{
		"overlaps":                    {good, {Name: "far", Remote: "h", Serve: true, Network: "10.134.8.0/24"}},
		"its device tun0":             {{Name: "a", Remote: "h", Serve: true, Device: "tun0"}, {Name: "b", Remote: "h", Serve: true, Device: "tun0", Network: "10.135.0.0/16"}},
		"wants serve = true":          {{Name: "a", Remote: "h", MaxClients: 3}},
		"is not a network":            {{Name: "a", Remote: "h", Serve: true, Network: "10.134.0.0"}},
		"no network of IPv4":          {{Name: "a", Remote: "h", Serve: true, Network: "10.134.0.1/16"}},
		"is not an IP address":        {{Name: "a", Remote: "h", Serve: true, Listen: "eth0"}},
		"two numbers":                 {{Name: "a", Remote: "h", Serve: true, Keepalive: []int{10}}},
		"the second is at least":      {{Name: "a", Remote: "h", Serve: true, Keepalive: []int{10, 12}}},
		"no name of a device":         {{Name: "a", Remote: "h", Serve: true, Device: "../x"}},
		"are not between 1 and 65536": {{Name: "a", Remote: "h", Serve: true, MaxClients: 70000}},
	} {
		text := ""
		for _, err := range checkTunnels(all) {
			text += err.Error() + "\n"
		}
		if !strings.Contains(text, want) {
			t.Errorf("%+v: %q does not say %q", all, text, want)
		}
	}
}
