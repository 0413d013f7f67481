package agent

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/runonce"
	"github.com/fernwerk/fernwerk/internal/agent/updating"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// updater makes what runs updates once.
func (a *Agent) updater(trust runonce.Trust) *runonce.Runner {
	return runonce.New(runonce.Config{
		Store: a.store, Dir: filepath.Join(a.cfg.DataDir, "updates"), HostID: a.id.HostID, Boot: a.bootID, Platform: platformName(), NodeType: a.id.NodeType,
		Trust: trust, Refused: a.refusesUpdates, Server: &updating.Publisher{Server: a.id.Server, Remote: a.remote, Log: a.cfg.Log,
			HTTP: func() (*http.Client, func(*http.Request) error, error) {
				return a.id.HTTP("fernwerk-agent/" + a.cfg.Version)
			}},
		Alone: a.installing, Log: a.cfg.Log,
		WantsReboot: func(tx *store.Tx) error { return flags.Set(tx, flags.RebootRequested, true) },
		Timing: func(ctx context.Context) (t runonce.Timing, err error) {
			s, err := a.now(ctx)
			if err == nil {
				second := func(key string) time.Duration { return time.Duration(s.Int("updates", key)) * time.Second }
				t = runonce.Timing{Interval: second("interval"), Spread: second("spread")}
			}
			return t, err
		},
	})
}

// refusesUpdates is why nothing is run once here: what nobody signed is never run,
// and a machine whose policy is plain-opsi believes no signature.
func (a *Agent) refusesUpdates() error {
	id, err := identity.Load(a.cfg.DataDir) // the policy counts from when it is set
	if err == nil && (id.Policy == "" || id.Policy == enrol.PlainOpsi) {
		err = fleet.WithHint(errors.New("the policy of this machine is plain-opsi, and what nobody signed is never run"), "join with a token of a server that has a trust root")
	}
	return err
}

// installing runs fn while no other script changes the machine: product actions
// and updates would get in each other's way.
func (a *Agent) installing(ctx context.Context, fn func() error) error {
	select {
	case a.alone <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.alone }()
	return fn()
}
