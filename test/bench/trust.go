package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

const (
	trust = "trust"
	// askers are the hosts, each with a certificate, that ask in turn; asked is how
	// many questions are measured.
	askers = 500
	asked  = 10_000
	atOnce = 16
)

// trustSuite measures what it costs that hosts ask for updates when nothing is new.
func trustSuite(ctx context.Context, b *bench) error {
	programs, err := site.Build(ctx, filepath.Join(b.scratch, "bin"))
	if err != nil {
		return err
	}
	s := &site.Server{Programs: programs, Data: filepath.Join(b.scratch, "trust"), Log: filepath.Join(b.scratch, "trust.log")}
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer s.Kill()
	if err := b.publish(ctx, s); err != nil {
		return fmt.Errorf("%w\n%s", err, site.Tail(s.Log, 10))
	}
	hosts, err := b.join(ctx, s)
	if err != nil {
		return err
	}
	for _, kept := range []bool{true, false} {
		took, err := ask(ctx, s, hosts, kept)
		if err != nil {
			return err
		}
		over := map[bool]string{true: "kept", false: "new"}[kept]
		goals := map[bool]float64{true: 10, false: 60}
		b.less(trust, fmt.Sprintf("CPU of the server for %d hosts that ask and nothing is new, over %s connections", asked, over), "s", took, goal, goals[kept], 1)
	}
	return nil
}

// publish signs and publishes a hundred updates.
func (b *bench) publish(ctx context.Context, s *site.Server) error {
	dir := filepath.Join(b.scratch, "signed")
	run := func(args ...string) error {
		env := append(s.Env(), "FERNWERK_TRUST="+dir, "FERNWERK_TRUST_PASSPHRASE=words that nobody puts together")
		_, errOut, code, err := s.Programs.Run(ctx, env, "fernwerk", args...)
		if err == nil && code != 0 {
			err = fmt.Errorf("fernwerk%s: status %d: %s", joined(args), code, errOut)
		}
		return err
	}
	if err := run("trust", "init", dir); err != nil {
		return err
	}
	sign := []string{"update", "sign"}
	const updates = 100
	for n := range updates {
		h := update.Header{Number: n, ID: fmt.Sprintf("u%d", n), Title: "Measured", Audience: update.Hosts, Timeout: update.MaxTimeout, OnFailure: update.Stop, OnInterrupt: update.Ask}
		path := filepath.Join(b.scratch, update.Name(n)+".sh")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+h.Text()+"true\n"), 0o600); err != nil {
			return err
		}
		sign = append(sign, path)
	}
	if err := errors.Join(run(sign...), run("trust", "publish")); err != nil {
		return err
	}
	for n := range updates {
		if _, err := s.Call(ctx, "update_publish", update.Name(n), "100%"); err != nil {
			return err
		}
	}
	b.say("%d updates are signed and published", updates)
	return nil
}

// join makes hosts with certificates of their own.
func (b *bench) join(ctx context.Context, s *site.Server) ([]identity.Identity, error) {
	fingerprint, err := s.Fingerprint()
	if err != nil {
		return nil, err
	}
	hosts := make([]identity.Identity, askers)
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range hosts {
		g.Go(func() error {
			id := fmt.Sprintf("asker%d.bench.test", i)
			password, err := s.AddHost(ctx, id)
			if err != nil {
				return err
			}
			dir := filepath.Join(b.scratch, "hosts", strconv.Itoa(i))
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			hosts[i], err = identity.Join(ctx, dir, identity.JoinRequest{Server: s.URL(), HostID: id, OneTimePassword: password, Fingerprint: fingerprint})
			return err
		})
	}
	return hosts, g.Wait()
}

// ask has the hosts ask in turn, and returns what that cost the server in seconds of
// CPU.
func ask(ctx context.Context, s *site.Server, hosts []identity.Identity, kept bool) (float64, error) {
	type asker struct {
		client *http.Client
		sign   func(*http.Request) error
		tag    string
	}
	once := func(a *asker) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/updates", nil)
		if err == nil {
			err = a.sign(r)
		}
		if err != nil {
			return err
		}
		r.Header.Set("If-None-Match", a.tag)
		resp, err := a.client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if a.tag != "" && resp.StatusCode != http.StatusNotModified {
			return fmt.Errorf("the server answers %s", resp.Status)
		}
		a.tag = resp.Header.Get("ETag")
		if !kept {
			a.client.CloseIdleConnections()
		}
		return nil
	}
	all := make([]asker, len(hosts))
	each := func(times int) error {
		var g errgroup.Group
		g.SetLimit(atOnce)
		for i := range all {
			g.Go(func() error {
				for range times {
					if err := once(&all[i]); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return g.Wait()
	}
	for i, id := range hosts {
		client, sign, err := id.HTTP("bench")
		if err != nil {
			return 0, err
		}
		all[i] = asker{client: client, sign: sign}
		defer client.CloseIdleConnections()
	}
	if err := each(1); err != nil {
		return 0, err
	}
	before, err := cpu(s.PID())
	if err == nil {
		err = each(asked / askers)
	}
	if err != nil {
		return 0, err
	}
	after, err := cpu(s.PID())
	return after - before, err
}

// cpu is what a process has used, in seconds: its fields 14 and 15 in proc(5), in
// hundredths.
func cpu(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	var total float64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(string(f), 64)
		if err != nil {
			return 0, err
		}
		total += n / 100
	}
	return total, nil
}
