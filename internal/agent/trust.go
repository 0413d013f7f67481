package agent

import (
	"cmp"
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/productcache"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/agent/trust"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// platformName is this machine's platform in the names of what is signed.
func platformName() string {
	if runtime.GOOS == "darwin" {
		return "macos"
	}
	return runtime.GOOS
}

// openTrust makes the part that says what content may be installed and run here.
func (a *Agent) openTrust(ctx context.Context) error {
	client, prepare, err := a.id.HTTP("fernwerk-agent/" + a.cfg.Version)
	if err != nil {
		return err
	}
	a.trust, err = trust.Open(ctx, trust.Config{
		Store: a.store, Base: strings.TrimSuffix(a.id.Server, "/") + "/v1/trust", Client: client, Prepare: prepare,
		Platform: platformName(), Now: time.Now, Log: a.cfg.Log,
		Demand: func() (d trust.Demand, err error) { // it counts from when it is set
			id, err := identity.Load(a.cfg.DataDir)
			if err == nil {
				d.Pin = trust.Pin{Version: id.TrustVersion, SHA256: strings.ToLower(id.TrustSHA256)}
				d.Policy = cmp.Or(id.Policy, enrol.PlainOpsi)
			}
			return d, err
		},
		Refused: func(ctx context.Context, text string) {
			a.tell(ctx, timeline.Entry{Category: timeline.Error, Text: text})
		},
	})
	return err
}

// tell writes a line of the timeline that belongs to no task.
func (a *Agent) tell(ctx context.Context, e timeline.Entry) {
	if err := a.store.Update(ctx, origin, func(tx *store.Tx) error { return timeline.Write(tx, e) }); err != nil {
		a.cfg.Log.Warn("a line of the timeline is lost", "text", e.Text, "error", err)
	}
}

// fresh asks for newer signed documents, where the machine has a root. What it
// holds counts whether or not there is an answer.
func (a *Agent) fresh(ctx context.Context) {
	if a.trust.Status().Pinned == 0 {
		return
	}
	if err := a.trust.Refresh(ctx); err != nil {
		a.cfg.Log.Warn("Signed documents were not renewed: what is held goes on counting", "error", err)
	}
}

// allow says whether a tree may be kept here.
func (a *Agent) allow(t productcache.Tree) error {
	_, err := a.vouched(t)
	return err
}

// vouched says who vouches for a tree, and refuses it where that does not count.
func (a *Agent) vouched(t productcache.Tree) (trust.Vouched, error) {
	tree := trust.Tree{ProductID: t.ID, ProductVersion: t.ProductVersion, PackageVersion: t.PackageVersion, Digest: t.Digest}
	err := a.store.View(context.Background(), func(tx *store.Tx) error {
		depot, err := params.DepotOf(tx, a.id.HostID)
		tree.Depots = append(tree.Depots, depot)
		return err
	})
	if err != nil {
		return trust.Vouched{}, err
	}
	if from, _, _ := strings.Cut(t.From, " "); from != "" && from != tree.Depots[0] {
		tree.Depots = append(tree.Depots, from)
	}
	return a.trust.Product(tree)
}

// ForgetServers implements [control.Agent]. Only a machine that goes by the first
// sight of a server has stored any; a pinned authority stays pinned.
func (a *Agent) ForgetServers() error {
	forgotten, err := identity.ForgetServers(a.cfg.DataDir, "")
	if len(forgotten) > 0 {
		a.cfg.Log.Warn("Stored certificates of servers were deleted: what these show next is believed", "servers", forgotten)
	}
	return err
}
