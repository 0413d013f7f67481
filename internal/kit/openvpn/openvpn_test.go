package openvpn

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/test/require"
)

func TestServer_Render(t *testing.T) {
	good := Server{Device: "tun0", Port: 4242, Network: netip.MustParsePrefix("10.134.0.0/16"), Ping: 10, Dead: 120, MaxClients: 1000}
	text, err := good.Render()
	if err != nil {
		t.Fatal(err)
	}
	// The seed's lines; `cipher none` is not among them.
	for _, line := range []string{"port 4242", "proto tcp-server", "dev tun0", "server 10.134.0.0 255.255.0.0 nopool", "keepalive 10 120", "max-clients 1000",
		"persist-key", "persist-tun", "socket-flags TCP_NODELAY", "script-security 0", "data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305"} {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	for name, wrong := range map[string]func(*Server){
		"device":        func(s *Server) { s.Device = "tun0\nup /bin/sh" },
		"no port":       func(s *Server) { s.Port = 0 },
		"host bits":     func(s *Server) { s.Network = netip.MustParsePrefix("10.134.0.1/16") },
		"IPv6":          func(s *Server) { s.Network = netip.MustParsePrefix("fd00::/64") },
		"too small":     func(s *Server) { s.Network = netip.MustParsePrefix("10.0.0.0/30") },
		"impatient":     func(s *Server) { s.Dead = 15 },
		"no clients":    func(s *Server) { s.MaxClients = 0 },
		"too talkative": func(s *Server) { s.Verbosity = 12 },
	} {
		s := good
		wrong(&s)
		if text, err := s.Render(); err == nil {
			t.Errorf("%s is taken: %s", name, text)
		}
	}
}

func TestPush_Lines(t *testing.T) {
	p := Push{Address: netip.MustParseAddr("10.134.7.38"), Bits: 16, Routes: []netip.Prefix{netip.MustParsePrefix("129.88.70.0/26"), netip.MustParsePrefix("fd01::/64")},
		DNS: []netip.Addr{netip.MustParseAddr("129.88.70.61"), netip.MustParseAddr("fd01::1")}, Search: []string{"grenoble.grid5000.fr"}}
	lines, err := p.Lines()
	want := []string{"ifconfig-push 10.134.7.38 255.255.0.0", `push "route 129.88.70.0 255.255.255.192"`, `push "route-ipv6 fd01::/64"`,
		`push "dhcp-option DNS 129.88.70.61"`, `push "dhcp-option DNS6 fd01::1"`, `push "dhcp-option DOMAIN grenoble.grid5000.fr"`}
	if err != nil || cmp.Diff(want, lines) != "" {
		t.Error(err, cmp.Diff(want, lines))
	}
	for name, wrong := range map[string]func(*Push){
		"no address":   func(p *Push) { p.Address = netip.Addr{} },
		"IPv6":         func(p *Push) { p.Address = netip.MustParseAddr("fd00::1") },
		"host bits":    func(p *Push) { p.Routes = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} },
		"no route":     func(p *Push) { p.Routes = []netip.Prefix{{}} },
		"zone":         func(p *Push) { p.DNS = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} },
		"no domain":    func(p *Push) { p.Search = []string{"a b"} },
		"second line":  func(p *Push) { p.Search = []string{"a\nEND"} },
		"quoted":       func(p *Push) { p.Search = []string{`a"`} },
		"empty domain": func(p *Push) { p.Search = []string{""} },
	} {
		q := p
		wrong(&q)
		if lines, err := q.Lines(); err == nil {
			t.Errorf("%s is taken: %q", name, lines)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{"it was revoked": "it was revoked", "a\"\nb\\é": "a'?b??", strings.Repeat("x", 300): strings.Repeat("x", 200)} {
		if got := Plain(in); got != want || !plainText.MatchString(got) {
			t.Errorf("%q is %q", in, got)
		}
	}
}

// Wrapped by us, a key is what openvpn itself makes of it.
func TestSeal(t *testing.T) {
	program := require.Tool(t, Program)
	var seal Seal
	for i := range seal {
		seal[i] = byte(i * 7)
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("server"), seal.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "--tls-crypt-v2", path("server"), "--genkey", "tls-crypt-v2-client", path("client"), base64.StdEncoding.EncodeToString([]byte("pc1.example.org"))).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	theirs, err := os.ReadFile(path("client"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(theirs)
	ours, err := seal.wrap(block.Bytes[:clientKey], "pc1.example.org")
	if err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("%v\n%s\n%s", err, ours, theirs)
	}
	a, _ := seal.Client("x")
	b, _ := seal.Client("x")
	if bytes.Equal(a, b) {
		t.Error("two clients have one key")
	}
	if _, err := seal.Client(strings.Repeat("x", 800)); err == nil {
		t.Error("more than a key holds is taken")
	}
}

func TestParseStatus(t *testing.T) {
	lines := []string{"TITLE\tOpenVPN 2.6.14", "TIME\t2026-11-29 17:00:00\t1796000000",
		"HEADER\tCLIENT_LIST\tCommon Name\tReal Address\tVirtual Address\tVirtual IPv6 Address\tBytes Received\tBytes Sent\tConnected Since\tConnected Since (time_t)\tUsername\tClient ID\tPeer ID\tData Channel Cipher",
		"CLIENT_LIST\tpc1.example.org\t203.0.113.7:40022\t10.134.7.38\t\t1024\t2048\t2026-11-29 16:59:00\t1795999940\tUNDEF\t3\t0\tAES-256-GCM",
		"CLIENT_LIST\tUNDEF\ttcp4-server:203.0.113.8:4\t\t\t0\t0\t2026-11-29 16:59:00\t1795999940\tUNDEF\t4\t0\t"}
	all, err := ParseStatus(lines)
	want := []Client{
		{CID: 3, Name: "pc1.example.org", From: netip.MustParseAddrPort("203.0.113.7:40022"), Address: netip.MustParseAddr("10.134.7.38"), Received: 1024, Sent: 2048, Since: time.Unix(1795999940, 0), Cipher: "AES-256-GCM"},
		{CID: 4, Name: "UNDEF", From: netip.MustParseAddrPort("203.0.113.8:4"), Since: time.Unix(1795999940, 0)},
	}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("%v %+v", err, all)
	}
	for _, bad := range []string{"HEADER\tCLIENT_LIST\tCommon Name", "CLIENT_LIST\tx", strings.Replace(lines[3], "\t3\t", "\t-3\t", 1), strings.Replace(lines[3], "10.134.7.38", "10.134.7", 1)} {
		if all, err := ParseStatus([]string{lines[2], bad}); err == nil {
			t.Errorf("%q is read: %+v", bad, all)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("HEADER\tCLIENT_LIST\tCommon Name\nCLIENT_LIST\ta\tb")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = ParseStatus(strings.Split(text, "\n")) })
}
