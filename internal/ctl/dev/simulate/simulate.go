// Package simulate is a fleet of hosts that are not there: it loads a server as
// real agents do, and says what the server made of it.
//
// Each simulated host has a TLS connection and a session of its own. A check-in
// is one round trip, as an agent's: it reads the host's action requests, writes
// the result of one, and when it was seen. The server answers when both are
// durable; only then the check-in counts, and only what was answered is recorded
// for [Verify] to look for after a crash.
//
// A simulation makes rows on the server, so the server must allow it (see
// allow_simulation in fernwerkd.toml), which backend_info states. Its hosts are
// named below simulation.invalid, where no real host can be (RFC 2606), and are
// removed at the end.
//
// # Kinds of load
//
// Warm: all hosts connect first, then check in one after the other, at a rate or
// as fast as the server answers. At a rate, a latency counts from when the
// check-in was due: a server that falls behind cannot hide it. Herd: all hosts
// connect for the first time in the same moment.
package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits of one simulation.
const (
	MaxHosts    = 100_000
	MaxProducts = 400
)

// Options says what to simulate.
type Options struct {
	URL string      // of the server: https://HOST:PORT
	TLS *tls.Config // trust in it

	Hosts    int
	Products int // on each host; one has an action request
	Herd     bool
	Rate     float64 // check-ins a second of all hosts; 0 is as fast as the server answers
	AtOnce   int     // hosts that wait for an answer in the same moment, without a rate
	Duration time.Duration
	PID      int  // of the server's process, if it runs on this machine; 0 is unknown
	Keep     bool // leave the hosts on the server

	Version string
	Say     func(format string, args ...any) // progress
}

// Check says what is wrong.
func (o *Options) Check() error {
	switch {
	case o.Hosts < 1 || o.Hosts > MaxHosts:
		return fmt.Errorf("--hosts: %d is not between 1 and %d", o.Hosts, MaxHosts)
	case o.Products < 1 || o.Products > MaxProducts:
		return fmt.Errorf("--products: %d is not between 1 and %d", o.Products, MaxProducts)
	case o.Rate < 0:
		return fmt.Errorf("--rate: %v is negative", o.Rate)
	case o.AtOnce < 1:
		return fmt.Errorf("--at-once: %d is less than 1", o.AtOnce)
	case !o.Herd && o.Duration <= 0:
		return fmt.Errorf("--duration: %v is no time", o.Duration)
	}
	return nil
}

// Run simulates. The report is there also when the server went away or ctx
// ended, then with an error beside it. What it did is in the record.
func Run(ctx context.Context, admin methods.Backend, o Options) (*Report, *Record, error) {
	if err := allowed(ctx, admin); err != nil {
		return nil, nil, err
	}
	if err := enoughFiles(o.Hosts); err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" {
		return nil, nil, fleet.Errorf(fleet.Invalid, "cannot simulate: %s is no https address", o.URL)
	}
	o.Say("making %d hosts with %d products each", o.Hosts, o.Products)
	c, err := newCrowd(ctx, admin, u.Host, &o)
	if err == nil {
		defer c.hangUp()
		if o.Herd {
			err = c.herd(ctx)
		} else {
			err = c.warm(ctx)
		}
	}
	report, record := c.report, c.record()
	if !o.Keep && !report.Gone {
		o.Say("removing the hosts")
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		err = errors.Join(err, Remove(cleanup, admin))
	}
	if err == nil && report.Gone {
		err = fleet.Errorf(fleet.Unavailable, "the server went away after %.1f seconds of load", report.Seconds)
	}
	return report, record, err
}

// allowed asks the server whether it takes simulated hosts.
func allowed(ctx context.Context, admin methods.Backend) error {
	v, err := admin.Call(ctx, methods.Actor{}, "backend_info", methods.Params{})
	if err != nil {
		return err
	}
	info, _ := v.(map[string]any)
	if info["simulation"] != true {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot simulate: the server does not allow it"),
			"on a server that is for trying out, set allow_simulation = true in fernwerkd.toml and start it again")
	}
	return nil
}
