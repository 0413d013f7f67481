package depot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Removed says what was taken from the depot.
type Removed struct {
	Product        string `json:"product"`
	ProductVersion string `json:"productVersion"`
	PackageVersion string `json:"packageVersion"`
}

// Remove takes a product from the depot: its tree, its rows on the depot, the
// depot's property values, and the product itself if no other depot has it. What
// clients have installed stays known. With force also if somebody locked it.
func (d *Depot) Remove(ctx context.Context, origin store.Origin, product string, force bool) (gone *Removed, err error) {
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	err = d.turns.Do(ctx, d.putInOrder, func(ctx context.Context) error {
		gone, err = d.remove(ctx, origin, product, force)
		return err
	})
	return gone, err
}

func (d *Depot) remove(ctx context.Context, origin store.Origin, product string, force bool) (*Removed, error) {
	if err := fleet.ValidProductID(product); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot remove the product: %w", err)
	}
	staging, err := os.MkdirTemp(d.path(stagingDir), product+"-*")
	if err != nil {
		return nil, fmt.Errorf("cannot remove %q: %w", product, err)
	}
	before := d.digest(product)
	in := &intentRow{DepotID: d.DepotID, Product: product, Staging: filepath.Base(staging)}
	gone, err := d.prepareRemoval(ctx, origin, in, force)
	if in.Since != "" {
		err = d.conclude(ctx, in, err,
			func(ctx context.Context) error { return d.finishRemoval(ctx, origin, in) },
			func() { delete(d.trees, product) })
	}
	d.tidy(in, before, err)
	if err != nil {
		return nil, fmt.Errorf("cannot remove %q: %w", product, err)
	}
	d.Log.InfoContext(ctx, "product removed", "product", product, "actor", origin.Actor)
	return gone, nil
}

func (d *Depot) prepareRemoval(ctx context.Context, origin store.Origin, in *intentRow, force bool) (*Removed, error) {
	gone := &Removed{Product: in.Product}
	if err := d.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := d.onDepot(tx, in.Product)
		if err == nil && len(rows) == 0 {
			err = fleet.Errorf(fleet.NotFound, "depot %s does not have it", d.DepotID)
		}
		for _, r := range rows {
			gone.ProductVersion, gone.PackageVersion = r.ProductVersion, r.PackageVersion
		}
		return err
	}); err != nil {
		return nil, err
	}
	if err := d.lock(ctx, origin, in, force); err != nil {
		return nil, err
	}
	d.reached("locked")
	had, err := exists(d.path(in.Product))
	if err != nil {
		return nil, err
	}
	in.HadTree = had
	err = d.publishing(ctx, origin, in)
	d.reached("durable")
	return gone, err
}

func (d *Depot) finishRemoval(ctx context.Context, origin store.Origin, in *intentRow) error {
	if in.HadTree {
		if err := d.withdraw(in); err != nil {
			return err
		}
	}
	err := d.update(ctx, origin, func(tx *store.Tx) error { return d.dropProduct(tx, in) })
	d.reached("committed")
	return err
}

func (d *Depot) dropProduct(tx *store.Tx, in *intentRow) error {
	rows, err := d.onDepot(tx, in.Product)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := dropVersion(tx, r); err != nil {
			return err
		}
	}
	if _, err := tx.Delete(fleet.ProductPropertyStates, fleet.Filter{"productId": in.Product, "objectId": d.DepotID}); err != nil {
		return err
	}
	if err := tx.Remove(depotTrees, fleet.Row{"depotId": d.DepotID, "product": in.Product}); err != nil {
		return err
	}
	return tx.Remove(depotInstall, depotInstall.Encode(*in))
}
