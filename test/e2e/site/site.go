// Package site builds a small fleet out of the real programs: a server and
// agents as processes on the loopback interface, with an emulated line between
// them. It needs neither root nor a network.
//
// The end-to-end tests and the benchmarks (test/bench) use it. It knows the
// programs only from outside: their command lines, the line "ready https://..."
// that each prints, their services. Nothing here is started before it is asked
// for, and every process ends with its context, or with this process.
package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// EnvPrograms names a folder with the three programs; without it they are built.
const EnvPrograms = "FERNWERK_BIN"

// Programs are the three programs in a folder.
type Programs struct{ Dir string }

// Build builds the programs into a folder, or takes those that EnvPrograms
// names. It must be called from within the module.
func Build(ctx context.Context, dir string) (Programs, error) {
	if given := os.Getenv(EnvPrograms); given != "" {
		abs, err := filepath.Abs(given)
		if err != nil {
			return Programs{}, err
		}
		for _, name := range []string{"fernwerkd", "fernwerk-agent", "fernwerk"} {
			if _, err := os.Stat(Programs{abs}.Path(name)); err != nil {
				return Programs{}, fmt.Errorf("cannot use %s: %w", EnvPrograms, err)
			}
		}
		return Programs{abs}, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "github.com/fernwerk/fernwerk/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("cannot build the programs: %w\n%s", err, out)
	}
	return Programs{dir}, nil
}

// Path is the file of one program.
func (p Programs) Path(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(p.Dir, name)
}

// Run runs a program to its end and returns what it printed to both outputs,
// and its exit status.
func (p Programs) Run(ctx context.Context, env []string, name string, args ...string) (stdout, stderr string, code int, err error) {
	cmd := exec.CommandContext(ctx, p.Path(name), args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() > 0 {
		return string(out), string(failed.Stderr), failed.ExitCode(), nil
	}
	return string(out), "", 0, err
}
