package config

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/strictconf"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fernwerkd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var cfg Config
	err := Load(path, &cfg)
	return cfg, err
}

func TestLoad(t *testing.T) {
	cfg, err := load(t, `
data = "/srv/fernwerk"
listen = "[::1]:4448"
address = "fw.example.org"
names = ["fw", "192.0.2.7"]
id = "fw.example.org"
database = "postgres://fw:secret@db/fernwerk"
log_level = "debug"
`)
	want := Config{Data: "/srv/fernwerk", Listen: "[::1]:4448", Address: "fw.example.org", Names: []string{"fw", "192.0.2.7"},
		ID: "fw.example.org", Database: "postgres://fw:secret@db/fernwerk", LogLevel: slog.LevelDebug}
	if d := cmp.Diff(want, cfg); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"an unknown key":  {"listne = ':1'\n\ndatabse = ''", []string{`fernwerkd.toml:1: unknown key "listne" (did you mean "listen"?)`, `:3: unknown key "databse"`}},
		"a wrong kind":    {"listen = 4447", []string{"fernwerkd.toml:1: listen"}},
		"no TOML":         {"listen", []string{"fernwerkd.toml:1:"}},
		"a wrong level":   {`log_level = "loud"`, []string{"log_level"}},
		"several values":  {"listen = 'x'\nid = 'x'\nnames = ['a b']\naddress = '/'", []string{"listen:", "id:", "names:", "address:"}},
		"not ours to set": {"admin_password = 'x'\nVersion = '1'", []string{"admin_password", "Version"}},
		"public names": {"[acme]\nnames = ['localhost', '192.0.2.7', 'Fleet.example.org', 'a b.example.org']\ndirectory = 'http://x'\ndirectory_ca = 'x'\nemail = 'root'\nhttp_listen = '80'",
			[]string{`acme.names: "localhost"`, `"192.0.2.7"`, `"Fleet.example.org"`, `"a b.example.org"`, "acme.accept_terms", "acme.directory:", "acme.directory_ca:", "acme.email:", "acme.http_listen:"}},
		"no public name":        {"[acme]\nemail = 'root@example.org'", []string{"acme.names: there is none"}},
		"a depot's public name": {"config_server = 'https://x'\n[acme]\nnames = ['fleet.example.org']\naccept_terms = true", []string{"acme: a depot server"}},
		"another engine":        {"database = 'mysql://u:secret@x/y'", []string{"database: it is not"}},
	} {
		_, err := load(t, tt.text)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows a password: %v", name, err)
		}
	}
	var cfg Config
	err := Load(filepath.Join(t.TempDir(), "none"), &cfg)
	if !errors.Is(err, strictconf.ErrMissing) || fleet.HintOf(err) == "" {
		t.Errorf("no file: %v", err)
	}
}

func TestLoad_ACME(t *testing.T) {
	cfg, err := load(t, "[acme]\nnames = ['fleet.example.org']\ndirectory = 'https://acme.example.org/dir'\ndirectory_ca = '/etc/ca.pem'\nemail = 'root@example.org'\naccept_terms = true\nhttp_listen = ':80'\n")
	want := ACME{Names: []string{"fleet.example.org"}, Directory: "https://acme.example.org/dir", DirectoryCA: "/etc/ca.pem", Email: "root@example.org", AcceptTerms: true, HTTPListen: ":80"}
	if d := cmp.Diff(want, cfg.ACME); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if !slices.Contains(cfg.CertificateNames("server.example.org:4447"), "fleet.example.org") {
		t.Error("machines cannot check our certificate on the public name")
	}
}

func TestReach(t *testing.T) {
	everywhere := &net.TCPAddr{IP: net.IPv6unspecified, Port: 4447}
	for _, tt := range []struct {
		cfg  Config
		addr net.Addr
		want string
	}{
		{Config{Listen: "127.0.0.1:0"}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000}, "127.0.0.1:50000"},
		{Config{Listen: "localhost:0"}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000}, "localhost:50000"},
		{Config{Listen: "[::1]:4447"}, &net.TCPAddr{IP: net.IPv6loopback, Port: 4447}, "[::1]:4447"},
		{Config{Address: "fw.example.org"}, everywhere, "fw.example.org:4447"},
		{Config{Address: "fw.example.org:443"}, everywhere, "fw.example.org:443"},
		{Config{Address: "2001:db8::7"}, everywhere, "[2001:db8::7]:4447"},
	} {
		if got := tt.cfg.Reach(tt.addr); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.cfg, got, tt.want)
		}
	}
	for _, listen := range []string{"", ":4447", "0.0.0.0:4447", "[::]:4447"} {
		got := (&Config{Listen: listen}).Reach(everywhere)
		host, port, err := net.SplitHostPort(got)
		if err != nil || port != "4447" || !isName(host) || net.ParseIP(host).IsUnspecified() {
			t.Errorf("%q: %s", listen, got)
		}
	}
}

func TestCertificateNames(t *testing.T) {
	cfg := Config{Listen: "0.0.0.0:4447", Names: []string{"extra", "localhost"}}
	names := cfg.CertificateNames("fw.example.org:4447")
	for _, want := range []string{"fw.example.org", "localhost", "127.0.0.1", "::1", "extra"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q lacks %s", names, want)
		}
	}
	if names[0] != "fw.example.org" || slices.Contains(names, "0.0.0.0") || slices.Contains(names, "") {
		t.Errorf("%q", names)
	}
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("%q names something twice", names)
	}
}

func TestHostID(t *testing.T) {
	if got := (&Config{ID: "fw.example.org"}).HostID(); got != "fw.example.org" {
		t.Error(got)
	}
	if err := fleet.ValidHostID((&Config{}).HostID()); err != nil {
		t.Error(err)
	}
}

func TestDataFolder(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/xdg")
	want := "/xdg/fernwerk"
	if os.Geteuid() == 0 {
		want = "/var/lib/fernwerk"
	}
	if got, err := DataFolder(); got != want || err != nil {
		t.Error(got, err)
	}
}
