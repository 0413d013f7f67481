package depot

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Listed is one product of the depot.
type Listed struct {
	Product        string `json:"product"`
	ProductType    string `json:"productType"`
	Name           string `json:"name"`
	ProductVersion string `json:"productVersion"`
	PackageVersion string `json:"packageVersion"`
	Locked         bool   `json:"locked"`
	// Of the tree; Digest is "" for a row that was not made by an installation.
	Files          int64  `json:"files"`
	Bytes          int64  `json:"bytes"`
	ManifestDigest string `json:"manifestDigest"`
}

// List is what the depot has, by product id.
func (d *Depot) List(ctx context.Context) ([]Listed, error) {
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	book := d.Ledger.Self()
	rows, err := depots.Rows[fleet.ProductOnDepot](ctx, book, fleet.ProductsOnDepots, fleet.Filter{"depotId": d.DepotID})
	if err != nil || len(rows) == 0 {
		return []Listed{}, err
	}
	trees, _, err := book.States(ctx)
	if err != nil {
		return nil, err
	}
	byProduct := map[string]depots.Tree{}
	for _, t := range trees {
		byProduct[t.Product] = t
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = string(r.ProductID)
	}
	products, err := depots.Rows[fleet.Product](ctx, book, fleet.Products, fleet.Filter{"id": ids})
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, p := range products {
		names[string(p.ID)+" "+p.ProductVersion+"-"+p.PackageVersion] = p.Name
	}
	out := make([]Listed, len(rows))
	for i, r := range rows {
		l := Listed{Product: string(r.ProductID), ProductType: r.ProductType, ProductVersion: r.ProductVersion, PackageVersion: r.PackageVersion, Locked: r.Locked}
		if t := byProduct[l.Product]; t.ProductVersion == l.ProductVersion && t.PackageVersion == l.PackageVersion {
			l.Files, l.Bytes, l.ManifestDigest = t.Files, t.Bytes, t.Digest
		}
		l.Name = names[l.Product+" "+l.ProductVersion+"-"+l.PackageVersion]
		out[i] = l
	}
	return out, nil
}
