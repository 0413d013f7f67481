package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require"
)

// A host gets the credentials of a tunnel with its own certificate, by the real
// programs, and OpenSSL finds them good.
func TestTunnelCredentials(t *testing.T) {
	openssl := require.Tool(t, "openssl")
	dir := t.TempDir()
	conf := filepath.Join(dir, "fernwerkd.toml")
	must(t, os.WriteFile(conf, []byte("[[tunnel]]\nname = \"vpns\"\nremote = \"vpn.example.org\"\nextra = [\"verb 3\"]\n"), 0o600))
	s := &site.Server{Programs: programs(t), Data: filepath.Join(dir, "server"), Log: filepath.Join(dir, "server.log"), Config: conf}
	must(t, s.Start(t.Context()))
	t.Cleanup(s.Kill)
	a := host(t, s, s.URL(), "node1.example.org")
	to := filepath.Join(dir, "openvpn")
	credentials := func(want int, says string, args ...string) {
		t.Helper()
		args = append([]string{"tunnel", "credentials", "--data", a.Data, "--dir", to}, args...)
		out, errOut, code, err := s.Programs.Run(t.Context(), []string{"PATH=" + dir}, "fernwerk-agent", args...)
		if err != nil || code != want || !strings.Contains(out+errOut, says) {
			t.Errorf("%v: status %d, want %d with %q: %s%s %v", args, code, want, says, out, errOut, err)
		}
	}
	credentials(1, "is not installed, nothing was written", "vpns")
	if _, err := os.Stat(to); err == nil {
		t.Error("something was written")
	}
	credentials(1, "there is no tunnel other", "other", "--force")
	credentials(0, "was written", "vpns", "--force")
	credentials(0, "is good", "vpns", "--force")
	text, err := os.ReadFile(filepath.Join(to, "vpns.conf"))
	must(t, err)
	for _, line := range []string{"client", "dev tun", "proto tcp", "remote vpn.example.org 4242", "data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305", "ca ca.crt", "cert client.crt", "key client.key", "keepalive 10 60", "verb 3"} {
		if !strings.Contains("\n"+string(text), "\n"+line+"\n") {
			t.Errorf("vpns.conf has no line %q", line)
		}
	}
	if info, err := os.Stat(filepath.Join(to, "client.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	crt := filepath.Join(to, "client.crt")
	for _, argv := range [][]string{
		{"verify", "-CAfile", filepath.Join(to, "ca.crt"), "-untrusted", crt, "-purpose", "sslclient", crt},
		{"x509", "-in", crt, "-noout", "-checkend", fmt.Sprint(6 * 24 * 3600)},
	} {
		if out, err := commandOutput(openssl, argv...); err != nil {
			t.Errorf("openssl %v: %v %s", argv, err, out)
		}
	}
	if out, err := commandOutput(openssl, "x509", "-in", crt, "-noout", "-checkend", fmt.Sprint(8*24*3600)); err == nil {
		t.Errorf("it lives longer than a week: %s", out)
	}
	// A tunnel's certificate opens no other door, and none at all after a revocation.
	_, err = s.Call(t.Context(), "host_revoke", "node1.example.org", "stolen")
	must(t, err)
	must(t, os.Remove(crt))
	credentials(5, "revoked", "vpns", "--force")
}

func commandOutput(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}
