package depot

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
)

// Recover ends what an earlier process had begun: see the package comment. Serve
// calls it; calling it again does nothing. No other process may serve the folder.
func (d *Depot) Recover(ctx context.Context) error {
	d.recover.Lock()
	defer d.recover.Unlock()
	select {
	case <-d.ready:
		return nil
	default:
	}
	if err := d.turns.Try(ctx, d.putInOrder, d.follow); err != nil {
		return fmt.Errorf("cannot recover the depot %s: %w", d.Dir, err)
	}
	close(d.ready)
	return nil
}

func (d *Depot) putInOrder(ctx context.Context) error {
	trees, intents, err := d.Ledger.Self().States(ctx)
	if err != nil {
		return err
	}
	for _, in := range intents {
		d.Log.Warn("undoing an installation that was interrupted", "product", in.Product, "since", in.Since)
		if _, err := d.settle(ctx, &in); err != nil {
			return err
		}
	}
	if err := d.load(trees); err != nil {
		return err
	}
	left, err := os.ReadDir(d.path(stagingDir))
	if err != nil {
		return err
	}
	for _, e := range left {
		d.clear(e.Name())
	}
	return d.dropManifests()
}

// follow takes over what another server that shares the folder has changed.
func (d *Depot) follow(ctx context.Context) error {
	trees, _, err := d.Ledger.Self().States(ctx)
	if err != nil {
		return err
	}
	return d.load(trees)
}

// load takes over which trees there are.
func (d *Depot) load(rows []depots.Tree) error {
	d.swap.Lock()
	defer d.swap.Unlock()
	clear(d.trees)
	for _, r := range rows {
		t, err := newTree(r)
		if err != nil {
			return err
		}
		if there, err := exists(d.path(r.Product)); err != nil {
			return err
		} else if !there {
			d.Log.Error("the files of a product are gone; install its package again", "product", r.Product)
		}
		d.trees[r.Product] = t
	}
	return nil
}

// dropManifests removes the manifests of trees that are gone.
func (d *Depot) dropManifests() error {
	left, err := os.ReadDir(d.path(manifestsDir))
	if err != nil {
		return err
	}
	d.swap.RLock()
	defer d.swap.RUnlock()
	for _, e := range left {
		product := e.Name()
		if i := strings.LastIndexByte(product, '-'); i >= 0 {
			product = product[:i]
		}
		if t, ok := d.trees[product]; ok && e.Name() == manifestName(product, t.Digest) {
			continue
		}
		if err := os.Remove(d.path(manifestsDir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func manifestName(product, digest string) string { return product + "-" + digest }
