package barenode_test

import (
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/ctl/barenode"
	"github.com/fernwerk/fernwerk/internal/kit/shell"
	"github.com/fernwerk/fernwerk/test/require"
)

// The scripts are for any POSIX shell, and have nothing that shellcheck minds.
func TestScripts(t *testing.T) {
	for _, name := range barenode.Executable {
		text, err := fs.ReadFile(barenode.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := shell.CheckPOSIX(name, strings.NewReader(string(text))); err != nil {
			t.Error(err)
		}
	}
}

func TestScripts_Shellcheck(t *testing.T) {
	shellcheck := require.Tool(t, "shellcheck")
	for _, name := range barenode.Executable {
		text, err := fs.ReadFile(barenode.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), shellcheck, "--shell=sh", "-")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
