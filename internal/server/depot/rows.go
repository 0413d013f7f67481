package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// treeRow says which tree a depot has of a product: what ProductOnDepot has no
// place for.
type treeRow struct {
	DepotID        string `col:"depotId,ident"`
	Product        string `col:"product,ident"`
	ProductVersion string `col:"productVersion"`
	PackageVersion string `col:"packageVersion"`
	Digest         string `col:"digest"` // SHA-256 of the manifest v1, hexadecimal
	Files          int64  `col:"files"`
	Bytes          int64  `col:"bytes"`
	Indexed        int64  `col:"indexed"` // when the digest was taken, in ns since 1970
}

// intentRow stands while a product is being installed or removed.
type intentRow struct {
	DepotID string `col:"depotId,ident"`
	Product string `col:"product,ident"`
	Staging string `col:"staging"` // name of its folder below .staging
	// Digest is that of the tree to publish, "" before it is known and where
	// there is none. Without Publishing no tree has been moved.
	Digest     string `col:"digest"`
	Publishing bool   `col:"publishing"`
	HadTree    bool   `col:"hadTree"` // there was a published tree before
	// HadLock: an administrator had locked the product, and forced us.
	HadLock bool   `col:"hadLock"`
	Since   string `col:"since,time"`
}

var (
	depotTrees   = fleet.LocalClass[treeRow]("depotTree")
	depotInstall = fleet.LocalClass[intentRow]("depotInstall")
)

// Classes are the depot's own rows, for store.Open.
func Classes() []*fleet.Class { return []*fleet.Class{depotTrees, depotInstall} }

// tree is a treeRow as it is used.
type tree struct {
	treeRow
	digest [sha256.Size]byte
}

func newTree(r treeRow) (tree, error) {
	t := tree{treeRow: r}
	if n, err := hex.Decode(t.digest[:], []byte(r.Digest)); err != nil || n != len(t.digest) {
		return t, fmt.Errorf("cannot use the row of %q: %q is not a digest", r.Product, r.Digest)
	}
	return t, nil
}

// lock writes the intent and locks the product's rows on this depot. Since is
// set when that is done.
func (d *Depot) lock(ctx context.Context, origin store.Origin, in *intentRow, force bool) error {
	since := ""
	err := d.update(ctx, origin, func(tx *store.Tx) error {
		if err := unlocked(tx, in.DepotID, in.Product); err != nil {
			return err
		}
		rows, err := d.onDepot(tx, in.Product)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Locked {
				in.HadLock = true
				if !force {
					return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot change %q on depot %s: it is locked", in.Product, d.DepotID),
						"somebody locked the product by hand; unlock it (productOnDepot, locked) or force the installation")
				}
			}
		}
		since = tx.Stamp()
		row := depotInstall.Encode(*in)
		row["since"] = since
		if err := tx.Put(depotInstall, row); err != nil {
			return err
		}
		return setLocked(tx, rows, true)
	})
	if err == nil {
		in.Since = since
	}
	return err
}

// update is Store.Update while it is this server's turn.
func (d *Depot) update(ctx context.Context, origin store.Origin, fn func(*store.Tx) error) error {
	return d.Store.Update(ctx, origin, func(tx *store.Tx) error {
		if err := d.turns.Check(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// unlocked refuses a product that is being installed or removed.
func unlocked(tx *store.Tx, depot, product string) error {
	row, err := tx.ByKey(depotInstall, depotInstall.Key(fleet.Row{"depotId": depot, "product": product}))
	if err != nil || row == nil {
		return err
	}
	return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot change %q on depot %s: it is being changed since %s UTC", product, depot, row.Str("since")),
		"wait until that has ended, then try again")
}

func (d *Depot) onDepot(tx *store.Tx, product string) ([]fleet.ProductOnDepot, error) {
	return store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": product, "depotId": d.DepotID})
}

func setLocked(tx *store.Tx, rows []fleet.ProductOnDepot, locked bool) error {
	for _, r := range rows {
		r.Locked = locked
		if err := tx.Put(fleet.ProductsOnDepots, fleet.ProductsOnDepots.Encode(r)); err != nil {
			return err
		}
	}
	return nil
}

// publishing tells a later Recover that trees may have been moved.
func (d *Depot) publishing(ctx context.Context, origin store.Origin, in *intentRow) error {
	in.Publishing = true
	return d.update(ctx, origin, func(tx *store.Tx) error {
		return tx.Put(depotInstall, depotInstall.Encode(*in))
	})
}

// unlock ends an intent that was not carried out.
func (d *Depot) unlock(ctx context.Context, in *intentRow) error {
	return d.update(ctx, store.Origin{Actor: "depot"}, func(tx *store.Tx) error {
		rows, err := d.onDepot(tx, in.Product)
		if err != nil {
			return err
		}
		if err := setLocked(tx, rows, in.HadLock); err != nil {
			return err
		}
		return tx.Remove(depotInstall, depotInstall.Encode(*in))
	})
}

// stands tells whether the intent is still in the database.
func (d *Depot) stands(ctx context.Context, in *intentRow) (bool, error) {
	stands := false
	err := d.Store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.ByKey(depotInstall, depotInstall.Key(depotInstall.Encode(*in)))
		stands = row != nil && row.Str("staging") == in.Staging
		return err
	})
	return stands, err
}

func (d *Depot) rowOf(p fleet.Product, t *published, now time.Time) treeRow {
	return treeRow{
		DepotID: d.DepotID, Product: string(p.ID), ProductVersion: p.ProductVersion, PackageVersion: p.PackageVersion,
		Digest: hex.EncodeToString(t.digest[:]), Files: int64(t.files), Bytes: t.bytes, Indexed: now.UnixNano(),
	}
}
