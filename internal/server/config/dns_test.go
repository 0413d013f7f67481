package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestDNS_Check(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
	}{
		"none":       {"", ""},
		"all of it":  {"[dns]\nzone = \"grid.example.org\"\nlisten = \"127.0.0.1:53\"\nnameservers = [\"ns.grid.example.org\"]\ncontact = \"first.last@example.org\"\ntransfer = [\"192.0.2.0/24\"]\n[dns.names]\n\"@\" = [\"192.0.2.1\"]\ngateway = [\"10.134.0.1\", \"fd00::1\"]\n[dns.aliases]\nwww = \"gateway\"\nout = \"www.example.net.\"\n[dns.keys.\"k.example.org\"]\nsecret_file = \"/etc/k\"\n[[dns.update]]\nserver = \"192.0.2.53\"\nzone = \"grid.example.org\"\nkey = \"k.example.org\"\n", ""},
		"no zone":    {"[dns]\nlisten = \"127.0.0.1:53\"\n", "dns.zone"},
		"zone":       {"[dns]\nzone = \"Grid.example.org.\"\n", "dns.zone"},
		"listen":     {"[dns]\nzone = \"g.org\"\nlisten = \"53\"\n", "dns.listen"},
		"contact":    {"[dns]\nzone = \"g.org\"\ncontact = \"x\"\n", "dns.contact"},
		"transfer":   {"[dns]\nzone = \"g.org\"\ntransfer = [\"192.0.2.1/24\"]\n", "dns.transfer"},
		"address":    {"[dns]\nzone = \"g.org\"\n[dns.names]\na = [\"x\"]\n", "not an address"},
		"no address": {"[dns]\nzone = \"g.org\"\n[dns.names]\na = []\n", "no address"},
		"name":       {"[dns]\nzone = \"g.org\"\n[dns.names]\n\"a b\" = [\"192.0.2.1\"]\n", "not a name"},
		"twice":      {"[dns]\nzone = \"g.org\"\n[dns.names]\na = [\"192.0.2.1\"]\n\"a.g.org\" = [\"192.0.2.2\"]\n", "there twice"},
		"both":       {"[dns]\nzone = \"g.org\"\n[dns.names]\na = [\"192.0.2.1\"]\n[dns.aliases]\na = \"b\"\n", "taken twice"},
		"itself":     {"[dns]\nzone = \"g.org\"\n[dns.aliases]\na = \"a\"\n", "alias of itself"},
		"apex alias": {"[dns]\nzone = \"g.org\"\n[dns.aliases]\n\"@\" = \"a\"\n", "not an alias"},
		"no secret":  {"[dns]\nzone = \"g.org\"\n[dns.keys.k]\n", "secret_file"},
		"algorithm":  {"[dns]\nzone = \"g.org\"\n[dns.keys.k]\nalgorithm = \"hmac-md5\"\nsecret_file = \"x\"\n", "algorithm"},
		"no key":     {"[[dns.update]]\nserver = \"192.0.2.53\"\nzone = \"g.org\"\n", "dns.update.key"},
		"grace":      {"tunnel_grace = -1\n", "tunnel_grace"},
	} {
		path := filepath.Join(t.TempDir(), "c.toml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Load(path, &Config{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDNSKey_Secret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	k := DNSKey{SecretFile: path}
	for _, c := range []struct {
		text string
		mode os.FileMode
		code fleet.Code
	}{{"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n", 0o600, ""}, {"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", 0o644, fleet.Denied}, {"c2hvcnQ=", 0o600, fleet.Invalid}, {"not base64!", 0o600, fleet.Invalid}} {
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		secret, err := k.Secret()
		if c.code == "" && (err != nil || secret != strings.TrimSpace(c.text)) || c.code != "" && fleet.CodeOf(err) != c.code {
			t.Errorf("%q: %q, %v", c.text, secret, err)
		}
	}
}
