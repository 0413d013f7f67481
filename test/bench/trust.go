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
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

const (
	suiteTrust = "trust"
	// askers are the hosts, each with a certificate, that ask in turn; asked is how
	// many questions are measured.
	askers  = 500
	asked   = 10_000
	atOnce  = 16
	updates = 100
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
		b.less(suiteTrust, fmt.Sprintf("CPU of the server for %d hosts that ask and nothing is new, over %s connections", asked, over), "s", took, goal, goals[kept], 1)
	}
	took, err := b.verify(ctx, s, hosts[0])
	if err != nil {
		return err
	}
	b.less(suiteTrust, "a host verifies all documents and 100 updates", "ms", took*1000, goal, 100, 1)
	return nil
}

// verify is what a host does that has nothing yet: it checks all documents of the
// server, from the root on, and the content of all updates. Fetching them is not
// counted.
func (b *bench) verify(ctx context.Context, s *site.Server, host identity.Identity) (float64, error) {
	client, sign, err := host.HTTP("bench")
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	files := map[string][]byte{}
	get := func(name string) ([]byte, error) {
		if files[name] != nil {
			return files[name], nil
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/trust/"+name, nil)
		if err == nil {
			err = sign(r)
		}
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("cannot get %s: %s", name, resp.Status)
		}
		files[name], err = io.ReadAll(resp.Body)
		return files[name], err
	}
	var best time.Duration
	for range 20 { // the first one fetches
		began := time.Now()
		if err := verified(get); err != nil {
			return 0, err
		}
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
	}
	return best.Seconds(), nil
}

func verified(get func(string) ([]byte, error)) error {
	root, err := get(trust.FileName(trust.RoleRoot, 1))
	if err != nil {
		return err
	}
	t, err := trust.NewTrusted(root)
	if err != nil {
		return err
	}
	stamp, err := get(trust.FileName(trust.RoleTimestamp, 0))
	if err == nil {
		_, err = t.UpdateTimestamp(stamp)
	}
	if err != nil {
		return err
	}
	for wants := t.Wants(); len(wants) > 0; wants = t.Wants() {
		w := wants[0]
		data, err := get(trust.FileName(w.Role, w.Version))
		if err == nil && w.Role == trust.RoleSnapshot {
			err = t.UpdateSnapshot(data)
		} else if err == nil {
			err = t.UpdateTargets(w.Role, data)
		}
		if err != nil {
			return err
		}
	}
	names := t.Names("update/")
	if len(names) != updates {
		return fmt.Errorf("%d updates are signed", len(names))
	}
	for _, name := range names {
		target, _, _ := t.Find(name)
		data, err := get(target.ContentPath())
		if err == nil {
			err = target.Check(data)
		}
		if err != nil {
			return err
		}
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
	if err := run("trust", "init", dir, "--root-keys", "1", "--threshold", "1"); err != nil {
		return err
	}
	sign := []string{"update", "sign"}
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
