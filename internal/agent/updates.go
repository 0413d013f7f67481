package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/runonce"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// maxOffer bounds what a server answers, in bytes: all numbers that there are.
const maxOffer = 256 << 10

// updater makes what runs updates once.
func (a *Agent) updater(trust runonce.Trust) *runonce.Runner {
	return runonce.New(runonce.Config{
		Store: a.store, Dir: filepath.Join(a.cfg.DataDir, "updates"), HostID: a.id.HostID, Boot: a.bootID, Platform: platformName(), NodeType: a.id.NodeType,
		Trust: trust, Refused: a.refusesUpdates, Server: publisher{a}, Alone: a.installing, Log: a.cfg.Log,
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

// publisher is the server, for updates.
type publisher struct{ a *Agent }

// Ask implements [runonce.Server].
func (p publisher) Ask(ctx context.Context, tag string) (*update.Offer, string, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	client, sign, err := p.a.askUpdates()
	if err != nil {
		return nil, "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.a.id.Server, "/")+"/v1/updates", nil)
	if err == nil {
		err = sign(r)
	}
	if err != nil {
		return nil, "", err
	}
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot reach the server: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOffer+1))
	switch {
	case err != nil:
		return nil, "", fleet.Errorf(fleet.Unavailable, "cannot read the server's answer: %w", err)
	case resp.StatusCode == http.StatusNotModified && tag != "":
		return nil, tag, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, "", fleet.Errorf(fleet.NotFound, "the server publishes no updates")
	case resp.StatusCode != http.StatusOK:
		return nil, "", fleet.Errorf(fleet.Unavailable, "the server answers %s", resp.Status)
	case len(body) > maxOffer:
		return nil, "", fleet.Errorf(fleet.TooLarge, "the server's answer has more than %d bytes", maxOffer)
	}
	var o update.Offer
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, "", fleet.Errorf(fleet.Invalid, "cannot read the server's answer: %w", err)
	}
	return &o, resp.Header.Get("ETag"), nil
}

// askUpdates is the connection that is kept from one question to the next.
func (a *Agent) askUpdates() (*http.Client, func(*http.Request) error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asking == nil {
		client, sign, err := a.id.HTTP("fernwerk-agent/" + a.cfg.Version)
		if err != nil {
			return nil, nil, err
		}
		a.asking = &asking{client, sign}
	}
	return a.asking.client, a.asking.sign, nil
}

// asking is a client of the server with what shows who we are.
type asking struct {
	client *http.Client
	sign   func(*http.Request) error
}

// Report implements [runonce.Server].
func (p publisher) Report(ctx context.Context, r update.Report) error {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	plain, err := methods.Plain(r, nil)
	if err != nil {
		return err
	}
	known, err := p.a.remote.Call(ctx, methods.Actor{}, "update_report", methods.Pos(plain))
	if err == nil && known == false {
		p.a.cfg.Log.Warn("The server does not know an update that was run here", "number", r.Number, "id", r.ID, "state", r.State)
	}
	return err
}

// Updates implements [control.RunOnce].
func (a *Agent) Updates(ctx context.Context) ([]control.UpdateStatus, error) {
	return updateStatus(a.updates.List(ctx))
}

// UpdatesLook implements [control.RunOnce].
func (a *Agent) UpdatesLook(ctx context.Context) ([]control.UpdateStatus, error) {
	return updateStatus(a.updates.Look(ctx))
}

func updateStatus(steps []runonce.Step, err error) ([]control.UpdateStatus, error) {
	list := []control.UpdateStatus{}
	for _, s := range steps {
		list = append(list, control.UpdateStatus{Number: s.Number, ID: s.ID, Title: s.Title, Do: s.Do, State: s.State, Why: s.Why})
	}
	return list, err
}

// UpdatesNow implements [control.RunOnce].
func (a *Agent) UpdatesNow(context.Context) error { return a.updates.Now() }

// UpdateLog implements [control.RunOnce].
func (a *Agent) UpdateLog(ctx context.Context, number string) ([]control.UpdateAttempt, error) {
	told, err := a.updates.Log(ctx, number)
	list := []control.UpdateAttempt{}
	for _, t := range told {
		list = append(list, control.UpdateAttempt{Report: t.Report, Reported: t.Known})
	}
	return list, err
}

// UpdateDecide implements [control.RunOnce].
func (a *Agent) UpdateDecide(ctx context.Context, number, decision string) error {
	return a.updates.Decide(ctx, number, decision)
}
