package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// tree is a depots.Tree as it is used.
type tree struct {
	depots.Tree
	digest [sha256.Size]byte
}

func newTree(r depots.Tree) (tree, error) {
	t := tree{Tree: r}
	if n, err := hex.Decode(t.digest[:], []byte(r.Digest)); err != nil || n != len(t.digest) {
		return t, fmt.Errorf("cannot use the row of %q: %q is not a digest", r.Product, r.Digest)
	}
	return t, nil
}

// unchanged refuses a product that is being installed or removed.
func (d *Depot) unchanged(ctx context.Context, product string) error {
	_, intents, err := d.Ledger.Self().States(ctx)
	for _, in := range intents {
		if in.Product == product {
			return depots.Busy(d.DepotID, product, in.Since)
		}
	}
	return err
}

func (d *Depot) rowOf(p fleet.Product, t *published, now time.Time) depots.Tree {
	return depots.Tree{
		DepotID: d.DepotID, Product: string(p.ID), ProductVersion: p.ProductVersion, PackageVersion: p.PackageVersion,
		Digest: hex.EncodeToString(t.digest[:]), Files: int64(t.files), Bytes: t.bytes, Length: int64(len(t.tree.Text())), Indexed: now.UnixNano(),
	}
}
