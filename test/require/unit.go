package require

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Unit holds the unit that a program in /usr/bin installs itself by to the one that is
// shipped, and has systemd look whether anything is wrong with it. It is called from a
// package three folders below the module's. UPDATE_UNITS=1 writes what is shipped anew.
func Unit(t testing.TB, program, text string) {
	t.Helper()
	shipped := filepath.Join("..", "..", "..", "packaging", "systemd", program+".service")
	if os.Getenv("UPDATE_UNITS") != "" {
		if err := os.WriteFile(shipped, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := os.ReadFile(shipped); err != nil || string(is) != text {
		t.Errorf("%v: UPDATE_UNITS=1 writes %s anew", err, shipped)
	}
	analyze := Tool(t, "systemd-analyze")
	path := filepath.Join(t.TempDir(), program+".service")
	text = strings.Replace(text, "/usr/bin/"+program, os.Args[0], 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), program) {
		t.Errorf("%v %s", err, out)
	}
}
