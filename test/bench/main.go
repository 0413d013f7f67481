// Command bench measures Fernwerk beside real peers, in one run on one machine.
//
//	go run ./test/bench [-suite NAME] [-source DIR] [-hosts N] [-out FILE]
//
// It prints each peer's command line, a table, and writes the same figures to
// bench-results.json: a list of
//
//	{suite, name, unit, ours, peer_name, peer, ratio, target, met}
//
// where ratio says how many times better ours is (above 1) than the peer's,
// target is the least ratio that we want to reach (0: none), and met whether it
// was. A peer that this machine lacks is left out, and said so. Where there is
// none to compare with, the peer is the goal that was set.
//
// Exit status: 0 when all was measured, also if a target was missed; 1 when
// something could not be measured; 2 for a wrong command line or a suite that
// is not there yet.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Names of all suites, and those that can be run.
var (
	names  = []string{"cache", "install", "depot", "config", "service", "agent", "trust", "tunnel"}
	suites = map[string]func(context.Context, *bench) error{"cache": cacheSuite, "install": installSuite, "depot": depotSuite, "service": serviceSuite, "trust": trustSuite, tunnelName: tunnelSuite}
)

// bench is one run.
type bench struct {
	out     io.Writer
	source  string // tree that travels
	hosts   int    // in the service suite
	scratch string
	reached float64 // check-ins a second over warm connections
	figures []figure
	leftOut []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, out io.Writer) (code int, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	suite := flags.String("suite", "", "one of "+strings.Join(names, ", ")+" (default: all that there are)")
	source := flags.String("source", "", "tree that travels (default: the Go toolchain's src)")
	hosts := flags.Int("hosts", 10_000, "hosts that load the server in the suite service")
	results := flags.String("out", "bench-results.json", "file for the results")
	if err := flags.Parse(args); err != nil {
		return 2, nil // it has said so itself
	}
	chosen, err := choose(*suite)
	if err != nil || flags.NArg() > 0 {
		return 2, errors.Join(err, unexpected(flags.Args()))
	}
	b := &bench{out: out, source: *source, hosts: *hosts, figures: []figure{}}
	if b.scratch, err = os.MkdirTemp("", "fernwerk-bench-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(b.scratch)
	for _, name := range chosen {
		if err := suites[name](ctx, b); err != nil {
			return 1, fmt.Errorf("cannot measure suite %s: %w", name, err)
		}
	}
	b.table()
	if *suite == "" {
		fmt.Fprintf(out, "\nonly %s: the other suites come with later issues\n", strings.Join(chosen, ", "))
	}
	data, err := json.MarshalIndent(b.figures, "", "  ")
	if err != nil {
		return 1, err
	}
	if err := os.WriteFile(*results, append(data, '\n'), 0o644); err != nil {
		return 1, fmt.Errorf("cannot keep the results: %w", err)
	}
	return 0, nil
}

// choose says which suites to run.
func choose(suite string) ([]string, error) {
	switch {
	case suite == "":
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return suites[n] == nil }), nil
	case suites[suite] != nil:
		return []string{suite}, nil
	case slices.Contains(names, suite):
		return nil, fmt.Errorf("suite %s comes with a later issue", suite)
	}
	return nil, fmt.Errorf("there is no suite %q: the suites are %s", suite, strings.Join(names, ", "))
}

func unexpected(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q", args[0])
}
