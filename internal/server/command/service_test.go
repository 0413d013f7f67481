package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/require"
)

// The unit that is shipped is the one that is installed, and systemd finds nothing wrong
// with it.
func TestService_Unit(t *testing.T) {
	text, err := unit("/usr/bin/fernwerkd", options{}).Text()
	if err != nil {
		t.Fatal(err)
	}
	shipped := filepath.Join("..", "..", "..", "packaging", "systemd", "fernwerkd.service")
	if os.Getenv("UPDATE_UNITS") != "" {
		if err := os.WriteFile(shipped, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := os.ReadFile(shipped); err != nil || string(is) != text {
		t.Errorf("%v: UPDATE_UNITS=1 writes %s anew", err, shipped)
	}
	analyze := require.Tool(t, "systemd-analyze")
	path := filepath.Join(t.TempDir(), "fernwerkd.service")
	text = strings.Replace(text, "/usr/bin/fernwerkd", os.Args[0], 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), "fernwerkd") {
		t.Errorf("%v %s", err, out)
	}
}
