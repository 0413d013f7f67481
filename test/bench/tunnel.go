package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

const tunnelName = "tunnel"

// tunnelSuite measures nodes: their ways to each other, many of them at once, their
// names, and the scheduler. Who measures are tests, in networks and with real parts of
// their own; what they find are their attributes (testing.T.Attr).
func tunnelSuite(ctx context.Context, b *bench) error {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		b.without("suite "+tunnelName, errors.New("it needs root on Linux: it makes network namespaces, and runs OpenVPN, the mesh, PostgreSQL and OAR"))
		return nil
	}
	for _, part := range []func(context.Context) error{b.neighbours, b.reconnects, b.drain, b.names} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// neighbours are two nodes on one LAN: all ways between them were measured in one run.
func (b *bench) neighbours(ctx context.Context) error {
	is, err := b.measured(ctx, "./test/e2e", "TestNewcomer")
	if err != nil {
		return err
	}
	const mesh = "mesh, direct: "
	for _, peer := range []struct {
		name, key string
		target    float64
	}{{"OpenVPN, through the hub", "openvpn", 1}, {"mesh, relayed by the hub", "relayed", 1}, {"the plain LAN", "lan", 0}, {"the same with the hub dead", "dead", 0}} {
		b.more(tunnelName, mesh+"throughput to a neighbour", "Mbit/s", is["direct_throughput"], peer.name, is[peer.key+"_throughput"], peer.target)
	}
	for _, peer := range []struct {
		name, key string
		target    float64
	}{{"OpenVPN, through the hub", "openvpn", 1}, {"mesh, relayed by the hub", "relayed", 0}, {"the plain LAN", "lan", 0}} {
		b.less(tunnelName, mesh+"round trip to a neighbour", "ms", is["direct_rtt"], peer.name, is[peer.key+"_rtt"], peer.target)
	}
	b.less(tunnelName, "from the tunnel to a name and Alive in OAR, the slowest of four nodes", "s", is["alive_slowest"], goal, 5, 1)
	return nil
}

func (b *bench) reconnects(ctx context.Context) error {
	is, err := b.measured(ctx, "./internal/server", "TestTunnel_ThreeHundredAtOnce")
	if err != nil {
		return err
	}
	b.less(tunnelName, "300 nodes come back at once: all are decided about", "s", is["decided"], goal, 10, 1)
	b.less(tunnelName, "300 nodes come back at once: all are present", "s", is["present"], goal, 10, 0)
	return nil
}

// drain is how long OAR takes for what happened in a moment. There is no peer: each
// change is one call of OAR's own tools.
func (b *bench) drain(ctx context.Context) error {
	is, err := b.measured(ctx, "./internal/server/scheduler/oar", "TestDrain", "FERNWERK_TEST_NODES=300")
	if err != nil {
		return err
	}
	const each = "a second for each"
	b.less(tunnelName, "the scheduler's drain: 300 nodes are added to OAR", "s", is["added"], each, 300, 0)
	b.less(tunnelName, "the scheduler's drain: 300 nodes are Absent in OAR", "s", is["down"], each, 300, 0)
	return nil
}

func (b *bench) names(ctx context.Context) error {
	is, err := b.measured(ctx, "./internal/server/dns", "TestPace")
	if err != nil {
		return err
	}
	b.more(tunnelName, "DNS answers", "a second", is["answers"], "BIND, one thread", is["answers_bind"], 0)
	return nil
}

// measured runs a test, and returns its attributes that are figures. A test that
// leaves itself out is an error: nothing was measured.
func (b *bench) measured(ctx context.Context, folder, test string, env ...string) (map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=30m", "-json", "-run", "^"+test+"$", folder)
	cmd.Env = append(append(os.Environ(), "FERNWERK_REQUIRE=all"), env...)
	cmd.Stderr = os.Stderr
	b.say("$ %s", strings.Join(append(env, cmd.Args...), " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	is, said, err := attributes(bufio.NewScanner(out), test)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%s in %s failed: %w\n%s", test, folder, err, said)
	}
	if len(is) == 0 {
		return nil, fmt.Errorf("%s in %s measured nothing\n%s", test, folder, said)
	}
	return is, nil
}

// attributes reads what go test -json says of a test.
func attributes(events *bufio.Scanner, test string) (is map[string]float64, said string, err error) {
	is = map[string]float64{}
	for events.Scan() {
		var e struct{ Action, Test, Output, Key, Value string }
		if json.Unmarshal(events.Bytes(), &e) != nil {
			continue // what go vet says
		}
		switch {
		case e.Action == "output":
			said += e.Output
		case e.Action == "attr" && e.Test == test:
			figure, _, _ := strings.Cut(e.Value, " ") // of its unit
			if is[e.Key], err = strconv.ParseFloat(figure, 64); err != nil {
				return nil, said, fmt.Errorf("the attribute %s is %q", e.Key, e.Value)
			}
		}
	}
	return is, said, events.Err()
}
