// Command runner runs the tests of the module and tells the whole story of the run.
//
//	go run ./test/runner [-race] [-run REGEXP] [-timeout D] [packages]
//
// It says first which engines and tools it found, then starts one PostgreSQL server for all test
// binaries and runs go test. Each package that ends is one line; failures follow with their
// output, then the slowest tests, then what this machine left out and why. Last it checks
// docs/reference/promises.md: each test that a working promise names must have passed. The final
// line is
//
//	N passed, N failed, N skipped
//
// It ends with 1 when a test failed or a promise is broken, and also when something was left out
// while FERNWERK_REQUIRE is "all"; with 2 when it was called wrongly.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/postgres"
)

const promisesFile = "docs/reference/promises.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	race := flag.Bool("race", false, "run with the race detector")
	run := flag.String("run", "", "run only the tests that match this regular expression; promises are not checked")
	timeout := flag.Duration("timeout", 30*time.Minute, "limit for one package")
	flag.Parse()
	args := []string{"test", "-json", "-timeout=" + timeout.String()}
	if *race {
		args = append(args, "-race")
	}
	if *run != "" {
		args = append(args, "-run="+*run)
	}
	pkgs := flag.Args()
	if len(pkgs) == 0 {
		pkgs = []string{"./..."}
	}
	ok, err := runAll(ctx, append(args, pkgs...), *run == "", pkgs[0] == "./...")
	if err != nil {
		fmt.Fprintln(os.Stderr, "runner:", err)
		ok = false
	}
	if !ok {
		stop()
		os.Exit(1)
	}
}

// runAll does the whole run and says whether all is well. Promises are checked when check is set;
// all means that every package of the module runs.
func runAll(ctx context.Context, args []string, check, all bool) (ok bool, err error) {
	began := time.Now()
	w := os.Stdout
	sayFound(ctx, w)
	if _, missing := postgres.Bin(); missing == nil && os.Getenv(require.EnvPostgres) == "" {
		server, startErr := postgres.Start()
		if startErr != nil {
			return false, startErr
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		os.Setenv(require.EnvPostgres, server.URL)
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	if err != nil {
		return false, fmt.Errorf("cannot find the module: %w", err)
	}
	var r *record
	r = newRecord(strings.TrimSpace(string(module)), func(folder string) { r.progress(w, folder) })
	if err := goTest(ctx, args, r); err != nil {
		return false, err
	}
	c := r.count("")
	r.failures(w)
	r.slowest(w, 10)
	r.leftOut(w)

	broken := 0
	if check {
		file, err := os.ReadFile(promisesFile)
		if err != nil {
			return false, err
		}
		rows, faults := parsePromises(bytes.NewReader(file))
		kept, left, unkept := checkPromises(rows, r.ends, func(folder string) bool {
			return all || r.ends[testName{Folder: folder}] != ""
		})
		faults = append(faults, unkept...)
		fmt.Fprintf(w, "\npromises: %d of %d work and were seen to, %d not looked at\n", kept, len(rows), left)
		for _, fault := range faults {
			fmt.Fprintf(w, "  %s: %v\n", promisesFile, fault)
		}
		broken = len(faults)
	}
	fmt.Fprintf(w, "\nin %v\n%d passed, %d failed, %d skipped\n", time.Since(began).Round(time.Second), c.passed, c.failed, c.skipped)
	if c.skipped > 0 && os.Getenv(require.EnvAll) == "all" {
		fmt.Fprintf(os.Stderr, "runner: %s=all, but %d tests were left out\n", require.EnvAll, c.skipped)
		return false, nil
	}
	return c.failed == 0 && broken == 0, nil
}

// goTest runs go test and feeds its events to r. That tests failed is no error here: r knows. When
// ctx ends, the whole family of go test ends with it.
func goTest(ctx context.Context, args []string, r *record) error {
	events, in := io.Pipe()
	var ended secureexec.Result
	var runErr error
	var child sync.WaitGroup
	child.Go(func() {
		ended, runErr = secureexec.Run(ctx, secureexec.Command{
			Argv: append([]string{"go"}, args...), Env: os.Environ(),
			Out: in, Err: os.Stderr, OutputLimit: -1, KillGrace: 5 * time.Second,
		})
		in.Close()
	})
	readErr := r.read(events)
	events.CloseWithError(readErr) // go test must not wait for a reader that gave up
	child.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err := errors.Join(readErr, runErr); err != nil {
		return err
	}
	switch c := r.count(""); {
	case ended.Failure() != nil && c.failed == 0:
		return fmt.Errorf("go test failed without naming a test: %w", ended.Failure())
	case c == count{}:
		return errors.New("no test ran")
	}
	return nil
}

// sayFound prints the engines and tools that tests may use.
func sayFound(ctx context.Context, w io.Writer) {
	fmt.Fprintf(w, "found: %s %s/%s, %d CPUs\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Fprintf(w, "  %-10s %s\n", "sqlite", "linked")
	pg := "not found"
	if url := os.Getenv(require.EnvPostgres); url != "" {
		pg = "running already (" + require.EnvPostgres + ")"
	} else if bin, err := postgres.Bin(); err == nil {
		pg = version(ctx, bin+"/postgres", "--version")
	}
	fmt.Fprintf(w, "  %-10s %s\n", "postgres", pg)
	for _, tool := range []string{"rsync", "zstd", "tar"} {
		fmt.Fprintf(w, "  %-10s %s\n", tool, version(ctx, tool, "--version"))
	}
	root := "no"
	if os.Geteuid() == 0 {
		root = "yes"
	}
	fmt.Fprintf(w, "  %-10s %s\n\n", "root", root)
}

// version is the first line of what the tool says about itself.
func version(ctx context.Context, tool string, args ...string) string {
	out, err := exec.CommandContext(ctx, tool, args...).Output()
	if err != nil {
		return "not found"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}
