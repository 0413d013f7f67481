package depot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
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
func (d *Depot) Remove(ctx context.Context, actor methods.Actor, product string, force bool) (gone *Removed, err error) {
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	err = d.turns.Do(ctx, d.putInOrder, func(ctx context.Context) error {
		gone, err = d.remove(ctx, actor, product, force)
		return err
	})
	return gone, err
}

func (d *Depot) remove(ctx context.Context, actor methods.Actor, product string, force bool) (*Removed, error) {
	if err := fleet.ValidProductID(product); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot remove the product: %w", err)
	}
	staging, err := os.MkdirTemp(d.path(stagingDir), product+"-*")
	if err != nil {
		return nil, fmt.Errorf("cannot remove %q: %w", product, err)
	}
	before := d.digest(product)
	book := d.Ledger.As(actor)
	in := &depots.Intent{DepotID: d.DepotID, Product: product, Staging: filepath.Base(staging)}
	gone, err := d.prepareRemoval(ctx, book, in, force)
	if in.Since != "" {
		err = d.conclude(ctx, in, err,
			func(ctx context.Context) error { return d.finishRemoval(ctx, book, in) },
			func() { delete(d.trees, product) })
	}
	d.tidy(in, before, err)
	if err != nil {
		return nil, fmt.Errorf("cannot remove %q: %w", product, err)
	}
	d.Log.InfoContext(ctx, "product removed", "product", product, "actor", actor.ID)
	return gone, nil
}

func (d *Depot) prepareRemoval(ctx context.Context, book depots.Book, in *depots.Intent, force bool) (*Removed, error) {
	gone := &Removed{Product: in.Product}
	rows, err := depots.Rows[fleet.ProductOnDepot](ctx, book, fleet.ProductsOnDepots, fleet.Filter{"productId": in.Product, "depotId": d.DepotID})
	if err == nil && len(rows) == 0 {
		err = fleet.Errorf(fleet.NotFound, "depot %s does not have it", d.DepotID)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		gone.ProductVersion, gone.PackageVersion = r.ProductVersion, r.PackageVersion
	}
	if err := d.begin(ctx, book, in, force, nil); err != nil {
		return nil, err
	}
	d.reached("locked")
	had, err := exists(d.path(in.Product))
	if err != nil {
		return nil, err
	}
	in.HadTree = had
	err = book.Announce(ctx, in)
	d.reached("durable")
	return gone, err
}

func (d *Depot) finishRemoval(ctx context.Context, book depots.Book, in *depots.Intent) error {
	if in.HadTree {
		if err := d.withdraw(in); err != nil {
			return err
		}
	}
	err := book.Drop(ctx, *in)
	d.reached("committed")
	return err
}
