package tunnel_test

import (
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
)

var vpns = tunnel.Settings{Name: "vpns", Remote: "vpn.example.org"}

// The seed's lines, but for its ciphers.
func TestRender_SeedsLines(t *testing.T) {
	text, err := vpns.Render()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"client", "dev tun", "proto tcp", "remote vpn.example.org 4242", "ca ca.crt", "cert client.crt", "key client.key", "keepalive 10 60", "socket-flags TCP_NODELAY"} {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	if strings.Contains(text, "none") {
		t.Error("it is not encrypted")
	}
}

func TestRender_Refuses(t *testing.T) {
	for _, s := range []tunnel.Settings{
		{Name: "../x", Remote: "h"}, {Name: "x"}, {Name: "x", Remote: "h\nup /bin/sh"}, {Name: "x", Remote: "h", Port: 70000}, {Name: "x", Remote: "h", Proto: "icmp"},
		{Name: "x", Remote: "h", Extra: []string{"up /bin/sh"}}, {Name: "x", Remote: "h", Extra: []string{"verb 3\nplugin x.so"}},
		{Name: "x", Remote: "h", Extra: []string{"data-ciphers none"}},
	} {
		if err := s.Check(); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	good := vpns
	good.Extra, good.Proto, good.Port, good.Remote = []string{"route 10.0.0.0 255.0.0.0", "route 10.1.0.0", "verb 3"}, "udp", 1194, "2001:db8::1"
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

// What a server that was taken over would try.
func TestCheck_Refuses(t *testing.T) {
	text, err := vpns.Render()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"up /bin/sh", "down x", "script-security 2", "plugin /tmp/x.so", "cipher none", "config /etc/shadow", "<ca>", "client ", "ca /etc/shadow", "log /etc/passwd",
		"writepid /etc/x", "management 0.0.0.0 1", "setenv PATH x", "route-up x", "ipchange x", "tls-verify x", "iproute x", "cd /", "chroot /", "auth-user-pass /etc/shadow", "UP x", " up x", "\tup x", "", "#x",
		"data-ciphers AES-256-GCM", "keepalive 1 2"} {
		if err := tunnel.Check(text + line + "\n"); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
	for _, word := range []string{"data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305\n", "remote-cert-tls server\n", "tls-version-min 1.2\n"} {
		if err := tunnel.Check(strings.Replace(text, word, "", 1)); err == nil {
			t.Errorf("it goes without %q", word)
		}
	}
	if tunnel.Check(strings.TrimSuffix(text, "\n")) == nil || tunnel.Check("") == nil {
		t.Error("half a configuration is taken")
	}
}

func FuzzCheck(f *testing.F) {
	text, err := vpns.Render()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		if tunnel.Check(text) == nil && strings.ContainsAny(text, "<>\"'\\#;\r\t\x00") {
			t.Errorf("%q", text)
		}
	})
}

// A tunnel that Fernwerk runs is known by its own name, and opened by a key.
func TestSettings_Served(t *testing.T) {
	for proto, want := range map[string][]string{"": {"tls-crypt-v2 tls-crypt-v2.key", "verify-x509-name vpns.tunnel.fernwerk name"}, "udp": {"explicit-exit-notify 1"}} {
		text, err := tunnel.Settings{Name: "vpns", Remote: "h", Proto: proto, Served: true}.Render()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%q lacks %q", text, line)
			}
		}
	}
	text, _ := tunnel.Settings{Name: "vpns", Remote: "h"}.Render()
	if strings.Contains(text, "tls-crypt") {
		t.Error("somebody else's tunnel has no key of ours")
	}
}

// A client of several servers leaves one that does not answer for the next, soon.
func TestSettings_SeveralServers(t *testing.T) {
	s := tunnel.Settings{Name: "vpns", Remote: "one.example.org", Others: []string{"two.example.org", "2001:db8::1"}, Extra: []string{"connect-retry 2"}}
	text, err := s.Render()
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nremote one.example.org 4242\nremote two.example.org 4242\nremote 2001:db8::1 4242\n"; !strings.Contains(text, want) {
		t.Errorf("%q lacks %q", text, want)
	}
	if !strings.Contains(text, "\nserver-poll-timeout 10\n") || strings.Contains(text, "connect-retry 1 10") {
		t.Errorf("%q", text)
	}
	for _, others := range [][]string{{"one.example.org"}, {"a b"}, {"x\nup y"}, make([]string, 16)} {
		s.Others = others
		if s.Check() == nil {
			t.Errorf("%q is taken", others)
		}
	}
}
