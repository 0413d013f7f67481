package tokens

import (
	"bytes"
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/test/require"
)

func text(t *testing.T) string {
	t.Helper()
	s, err := enrol.Token{ID: "abcdefgh12", Secret: base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 20)), Addresses: []string{"server.example.org:4447"},
		CA: strings.Repeat("ab", 32), Policy: enrol.PlainOpsi, Expires: 1 << 31}.Text()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestForms(t *testing.T) {
	token := text(t)
	for name, form := range forms {
		var out bytes.Buffer
		if err := form(&out, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "qr" && strings.Count(out.String(), token) != 1 {
			t.Errorf("%s: %s", name, &out)
		}
		// What is no token goes nowhere.
		for _, bad := range []string{"", token + "\nrm -rf /", `x" ; reboot`} {
			out.Reset()
			if err := form(&out, bad); err == nil || out.Len() > 0 {
				t.Errorf("%s prints %q", name, &out)
			}
		}
	}
}

// PyYAML is what cloud-init reads it with.
func TestForms_CloudInitIsYAML(t *testing.T) {
	python := require.Python(t, "yaml")
	token := text(t)
	var out bytes.Buffer
	if err := cloudInit(&out, token); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", `
import sys, yaml
d = yaml.safe_load(sys.stdin)
f = d["write_files"][0]
assert f["permissions"] == "0600" and isinstance(f["permissions"], str), f
assert all(isinstance(w, str) for c in d["runcmd"] for w in c), d
print(f["content"], d["runcmd"][0][-1], f["path"])`)
	cmd.Stdin = &out
	got, err := cmd.CombinedOutput()
	if err != nil || string(got) != token+" /run/fernwerk.token /run/fernwerk.token\n" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{"90m": "1h30m0s", "24h": "24h0m0s", "30d": "720h0m0s", "0s": "", "-1h": "", "d": "", "1y": "", "": ""} {
		got, err := duration(text)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
