package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fernwerk/fernwerk/internal/ctl/dev/simulate"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

const (
	service = "service"
	goal    = "the goal"
	// loadTime is how long each load lasts.
	loadTime = 20 * time.Second
	// products on each host: with 10,000 hosts 50,000 rows.
	products = 5
)

// serviceSuite measures the server under the load of a fleet: the server and the
// load are two processes, which share the machine.
func serviceSuite(ctx context.Context, b *bench) error {
	programs, err := site.Build(ctx, filepath.Join(b.scratch, "bin"))
	if err != nil {
		return err
	}
	s := &site.Server{Programs: programs, Data: filepath.Join(b.scratch, "service"), Log: filepath.Join(b.scratch, "service.log"),
		Config: filepath.Join(b.scratch, "fernwerkd.toml")}
	if err := os.WriteFile(s.Config, []byte("allow_simulation = true\n"), 0o600); err != nil {
		return err
	}
	for _, part := range []func(context.Context, *site.Server) error{b.herd, b.start, b.stream, b.checkIns, b.paced, b.crash} {
		if err := part(ctx, s); err != nil {
			s.Kill()
			return fmt.Errorf("%w\n%s", err, site.Tail(s.Log, 10))
		}
	}
	s.Kill()
	return b.ceiling(ctx)
}

// simulation runs a load against the server.
func (b *bench) simulation(ctx context.Context, s *site.Server, args ...string) (*simulate.Report, error) {
	args = append([]string{"dev", "simulate", "--json", "--server-pid", strconv.Itoa(s.PID())}, args...)
	b.say("$ fernwerk%s", joined(args))
	out, errOut, code, err := s.Programs.Run(ctx, s.Env(), "fernwerk", args...)
	if err != nil {
		return nil, err
	}
	r := &simulate.Report{}
	if json.Unmarshal([]byte(out), r) != nil || code != 0 && !r.Gone {
		return nil, fmt.Errorf("the simulation ended with status %d: %s%s", code, errOut, out)
	}
	b.say("  %d check-ins in %.1f s, %.0f a second; 50 %% %.1f ms, 99 %% %.1f ms, at most %.1f ms; %d failed, %d put off",
		r.CheckIns, r.Seconds, r.PerSecond, r.Latency.P50, r.Latency.P99, r.Latency.Max, r.Failed, r.PutOff)
	b.say("  server: %s, %.0f us of CPU a check-in; load: %s, %.0f us", r.Server, each(r.Server, r), r.Client, each(r.Client, r))
	if r.Failed > 0 && !r.Gone {
		return r, fmt.Errorf("%d check-ins failed: %v", r.Failed, r.Errors)
	}
	return r, nil
}

func each(p simulate.Process, r *simulate.Report) float64 {
	return p.CPU * 1e6 / float64(max(r.CheckIns, 1))
}

func joined(args []string) (text string) {
	for _, a := range args {
		text += " " + a
	}
	return text
}

// herd has all hosts connect for the first time at once, to a server that is new.
func (b *bench) herd(ctx context.Context, s *site.Server) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	r, err := b.simulation(ctx, s, "--herd", "--keep", "--hosts", strconv.Itoa(b.hosts), "--products", strconv.Itoa(products))
	if err != nil {
		return err
	}
	b.less(service, fmt.Sprintf("%d first connects at once, all answered", r.CheckIns), "s", r.Seconds, goal, 30, 1)
	b.less(service, "the same: memory of the server at most", "bytes", float64(r.Server.Peak), goal, 2<<30, 1)
	return s.Stop(time.Minute)
}

// start measures a start on the database that the herd left.
func (b *bench) start(ctx context.Context, s *site.Server) error {
	var best float64
	for range 3 {
		began := time.Now()
		if err := s.Start(ctx); err != nil {
			return err
		}
		if took := time.Since(began).Seconds(); best == 0 || took < best {
			best = took
		}
		if err := s.Stop(time.Minute); err != nil {
			return err
		}
	}
	b.less(service, fmt.Sprintf("start on a database of %d hosts, best of 3", b.hosts), "s", best, goal, 2, 1)
	return s.Start(ctx)
}

// checkIns loads over warm connections as hard as the server takes it.
func (b *bench) checkIns(ctx context.Context, s *site.Server) error {
	r, err := b.simulation(ctx, s, "--hosts", strconv.Itoa(b.hosts), "--products", strconv.Itoa(products), "--duration", loadTime.String())
	if err != nil {
		return err
	}
	b.reached = r.PerSecond
	b.more(service, "durable check-ins over warm connections", "a second", r.PerSecond, goal, 5000, 1)
	b.more(service, "the same, of what both cores did for the server", "a second and core", r.PerSecond/max(r.Server.Cores, 0.01), goal, 5000, 0)
	b.less(service, fmt.Sprintf("memory with %d hosts connected", b.hosts), "bytes", float64(r.Server.Resident), goal, 2<<30, 1)
	return nil
}

// paced loads at half the goal, and at half of what was reached.
func (b *bench) paced(ctx context.Context, s *site.Server) error {
	r, err := b.simulation(ctx, s, "--hosts", strconv.Itoa(b.hosts), "--products", strconv.Itoa(products), "--rate", "2500", "--duration", loadTime.String())
	if err != nil {
		return err
	}
	b.less(service, "latency of 99 % at 2500 check-ins a second", "ms", r.Latency.P99, goal, 250, 1)
	half := strconv.Itoa(int(b.reached / 2))
	r, err = b.simulation(ctx, s, "--hosts", strconv.Itoa(b.hosts), "--products", strconv.Itoa(products), "--rate", half, "--duration", loadTime.String())
	if err != nil {
		return err
	}
	b.less(service, "latency of 99 % at half of what was reached ("+half+" a second)", "ms", r.Latency.P99, goal, 250, 0)
	return nil
}

// crash kills the server under load, and looks for what it had answered.
func (b *bench) crash(ctx context.Context, s *site.Server) error {
	record := filepath.Join(b.scratch, "record.json")
	killed := make(chan error, 1)
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { killed <- killUnderLoad(ended, s) }()
	r, err := b.simulation(ctx, s, "--hosts", "500", "--duration", "5m", "--record", record)
	cancel()
	if err := errors.Join(err, <-killed); err != nil {
		return err
	}
	if !r.Gone {
		return errors.New("the server was to be killed, and was not")
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	out, err := s.Command(ctx, "dev", "simulate", "--json", "--verify", record)
	if err != nil {
		return err // what was lost is an error of the command
	}
	var v simulate.Verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return err
	}
	b.say("  killed under load: %d check-ins of %d hosts were answered, %d hosts lost some", v.CheckIns, v.Hosts, len(v.Lost))
	b.more(service, "hosts that lost nothing answered when the server was killed", "hosts", float64(v.Hosts-len(v.Lost)), "hosts that were answered", float64(v.Hosts), 1)
	_, err = s.Command(ctx, "dev", "simulate", "--remove")
	return err
}

// killUnderLoad waits until hosts have checked in a good while, and kills.
func killUnderLoad(ctx context.Context, s *site.Server) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the load ended before it was to be cut")
		}
		rows, err := s.Rows(ctx, "productOnClient_getObjects", []any{"packageVersion"},
			map[string]any{"productId": "simulated", "clientId": "sim00000." + simulate.Domain})
		if err != nil {
			continue // it is busy
		}
		for _, r := range rows {
			if n, _ := strconv.Atoi(r.Str("packageVersion")); n >= 20 {
				s.Kill()
				return nil
			}
		}
	}
}
