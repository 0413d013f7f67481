// Package require gives a test the real things that it needs: a tool, root, a
// PostgreSQL server, a Samba share, a scheduler.
//
// A machine that lacks one leaves the test out with a reason that starts with [Prefix], so that
// the runner (test/runner) can list at its end what was left out and why. Where FERNWERK_REQUIRE
// is "all", as in CI, a missing thing is a failure instead: a test that can be skipped can be made
// mandatory. Tests never ask the machine by themselves; they call this package, so that no reason
// for leaving out is hidden.
package require

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fernwerk/fernwerk/test/require/oar"
	"github.com/fernwerk/fernwerk/test/require/postgres"
	"github.com/fernwerk/fernwerk/test/require/samba"
	"github.com/fernwerk/fernwerk/test/require/slurm"
)

// Prefix starts the message of every test that this machine leaves out.
const Prefix = "left out: "

// Names of the environment variables that this package reads.
const (
	// EnvAll makes leaving out a failure when its value is "all".
	EnvAll = "FERNWERK_REQUIRE"
	// EnvPostgres is the URL of a PostgreSQL server, started by the runner, on which tests may
	// create and drop databases. Without it each test binary starts its own.
	EnvPostgres = "FERNWERK_TEST_POSTGRES"
)

// Skip ends the test because this machine lacks what, for the reason why.
func Skip(t testing.TB, what, why string) {
	t.Helper()
	leaveOut(t, os.Getenv(EnvAll) == "all", what, why)
}

// leaveOut is Skip with the decision handed in, so that its own test can see both ways.
func leaveOut(t testing.TB, mandatory bool, what, why string) {
	t.Helper()
	if mandatory {
		t.Fatalf("%s is required here (%s=all): %s", what, EnvAll, why)
	}
	t.Skipf("%s%s: %s", Prefix, what, why)
}

// Tool returns the path of the program name, or leaves the test out.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, name, "not found in PATH")
	}
	return path
}

// Python returns a Python that has the modules, or leaves the test out. The distribution's own is
// asked too where another stands before it in PATH: the modules come from its packages.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if path, err := exec.LookPath(name); err == nil && exec.CommandContext(t.Context(), path, "-c", "import "+strings.Join(modules, ", ")).Run() == nil {
			return path
		}
	}
	Skip(t, "python3 with "+strings.Join(modules, ", "), "not found")
	return ""
}

// packages is where test/setup.sh unpacks packages that a machine must not have installed for a
// test, because they would change it.
const packages = "/var/cache/fernwerk-test"

// Package returns the folder where a package of the distribution lies unpacked, or leaves the test
// out.
func Package(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(packages, name)
	if _, err := os.Stat(dir); err != nil {
		Skip(t, "package "+name, "not unpacked in "+packages)
	}
	return dir
}

// Root leaves the test out unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "root", "the test needs root")
	}
}

// own is the server of this test binary, started by the first test that needs one. It ends with
// the process (package postgres sees to that), because no test knows whether it is the last.
//
// The server itself is kept, not its URL: the pipe that keeps it alive would be closed by the
// garbage collector.
var own = sync.OnceValues(postgres.Start)

// Postgres returns the URL of a fresh, empty database on a real PostgreSQL server. The database
// is dropped when the test ends, with whatever connections are left.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(EnvPostgres)
	if server == "" {
		if _, err := postgres.Bin(); err != nil {
			Skip(t, "PostgreSQL", err.Error())
		}
		started, err := own()
		if err != nil {
			t.Fatal(err)
		}
		server = started.URL
	}
	name := "fernwerk_" + strings.ToLower(rand.Text())
	if err := statement(server, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := statement(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("cannot read %s: %v", EnvPostgres, err)
	}
	u.Path = "/" + name
	return u.String()
}

// Samba shares a folder by a real Samba server until the test ends. Further
// lines go into its [global] section.
func Samba(t testing.TB, folder string, more ...string) *samba.Server {
	t.Helper()
	if _, err := samba.Bin(); err != nil {
		Skip(t, "Samba", err.Error())
	}
	Root(t)
	// Its sockets need a short path.
	dir, err := os.MkdirTemp("", "samba")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := samba.Start(dir, folder, more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// OAR is a real OAR server, with its own database, until the test ends.
func OAR(t testing.TB) *oar.Server {
	t.Helper()
	if err := oar.Bin(); err != nil {
		Skip(t, "OAR", err.Error())
	}
	Root(t)
	s, err := oar.Start(open(t, "oar"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Slurm is a real Slurm until the test ends.
func Slurm(t testing.TB) *slurm.Server {
	t.Helper()
	if err := slurm.Bin(); err != nil {
		Skip(t, "Slurm", err.Error())
	}
	Root(t)
	s, err := slurm.Start(open(t, "slurm"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// open is a folder with a short path that every user may pass.
func open(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fernwerk-"+name+"-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// statement runs one statement on a connection of its own. The test's context may already be
// cancelled when a cleanup runs, therefore the limit is its own.
func statement(server, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("cannot reach the test PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("cannot run %q: %w", sql, err)
	}
	return nil
}

// Until waits up to two minutes for what another program does.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for late := time.Now().Add(2 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}
