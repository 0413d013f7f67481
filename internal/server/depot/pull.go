package depot

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
)

// Peer is another depot, from which trees are copied.
type Peer func(ctx context.Context, depot fleet.Host, product string) (*transfer.HTTP, error)

// Pulled says what a copy took, in bytes.
type Pulled struct {
	Report
	From    string `json:"from"`
	Same    bool   `json:"same"`    // nothing had to be done
	Seeded  int64  `json:"seeded"`  // were in the version that was here
	Fetched int64  `json:"fetched"` // came from the other depot
	Wire    int64  `json:"wire"`    // on the line, for that
}

// Pull makes a product what it is on another depot, fetching only what is not in
// the version that is here. The tree is copied as it is there, after postinst:
// no script runs. The steps are those of an installation.
func (d *Depot) Pull(ctx context.Context, actor methods.Actor, product, from string, opts Options, progress func(transfer.Progress)) (p *Pulled, err error) {
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	err = d.turns.Do(ctx, d.putInOrder, func(ctx context.Context) error {
		p, err = d.pull(ctx, actor, product, from, opts, progress)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot copy %.128q from depot %s: %w", product, from, full(err))
	}
	return p, nil
}

func (d *Depot) pull(ctx context.Context, actor methods.Actor, product, from string, opts Options, progress func(transfer.Progress)) (*Pulled, error) {
	if err := fleet.ValidProductID(product); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "%w", err)
	}
	there, err := d.look(ctx, product, from)
	if err != nil {
		return nil, err
	}
	p := &Pulled{From: from}
	name := archive.NameOf(&there.control)
	in := &installation{Depot: d, book: d.Ledger.As(actor), opts: opts, name: name, control: &there.control, scripts: map[string]bool{}}
	if here := d.tree(product); here.Digest == there.tree.Digest && here.ProductVersion == there.tree.ProductVersion &&
		here.PackageVersion == there.tree.PackageVersion {
		p.Same = true
		p.Report = Report{Product: product, ProductVersion: here.ProductVersion, PackageVersion: here.PackageVersion,
			Files: int(here.Files), Bytes: here.Bytes, ManifestDigest: here.Digest, Differences: []Difference{}}
		return p, nil
	}
	if err := d.unchanged(ctx, product); err != nil {
		return nil, err
	}
	staging, err := os.MkdirTemp(d.path(stagingDir), product+"-*")
	if err != nil {
		return nil, err
	}
	in.intent = depots.Intent{DepotID: d.DepotID, Product: product, Staging: filepath.Base(staging)}
	t, err := in.copy(ctx, there, p, progress)
	before := d.digest(product)
	replaced := ""
	if in.intent.Since != "" {
		err = in.conclude(ctx, &in.intent, err,
			func(ctx context.Context) (err error) { replaced, err = in.finish(ctx, t); return err },
			func() { in.trees[product] = tree{Tree: in.row, digest: t.digest} })
	}
	in.tidy(&in.intent, before, err)
	if err != nil {
		return nil, err
	}
	select {
	case in.added <- product:
	default:
	}
	p.Report = *in.report(t)
	p.Replaced = replaced
	p.Trust = in.judgement(ctx)
	in.Log.InfoContext(ctx, "product copied", "product", product, "version", there.control.Version(), "from", from, "fetched", p.Fetched, "wire", p.Wire, "actor", actor.ID)
	return p, nil
}

// offered is a product on another depot.
type offered struct {
	host    fleet.Host
	tree    depots.Tree
	control control.Control
}

// look asks the config server what the other depot has of a product.
func (d *Depot) look(ctx context.Context, product, from string) (*offered, error) {
	book := d.Ledger.Self()
	hosts, err := depots.Rows[fleet.Host](ctx, book, fleet.Hosts, fleet.Filter{"id": from})
	if err != nil {
		return nil, err
	}
	if len(hosts) != 1 || hosts[0].Type == fleet.OpsiClient || from == d.DepotID {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "there is no other depot %.300q", from), "list all with: fernwerk depot list")
	}
	o := &offered{host: hosts[0]}
	rows, err := depots.Rows[fleet.ProductOnDepot](ctx, book, fleet.ProductsOnDepots, fleet.Filter{"depotId": from, "productId": product})
	if err != nil {
		return nil, err
	}
	trees, _, err := book.StatesOf(ctx, from)
	if err != nil {
		return nil, err
	}
	for _, t := range trees {
		if t.Product == product {
			o.tree = t
		}
	}
	if len(rows) == 0 || o.tree.Digest == "" {
		return nil, fleet.Errorf(fleet.NotFound, "that depot does not have it")
	}
	if rows[0].Locked {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Locked, "it is locked there"), "wait until its installation has ended; or: fernwerk depot unlock %s %s", from, product)
	}
	version := fleet.Filter{"productVersion": o.tree.ProductVersion, "packageVersion": o.tree.PackageVersion}
	of := func(column string) fleet.Filter {
		f := fleet.Filter{column: product}
		for k, v := range version {
			f[k] = v
		}
		return f
	}
	products, err := depots.Rows[fleet.Product](ctx, book, fleet.Products, of("id"))
	if err == nil && len(products) != 1 {
		err = fleet.Errorf(fleet.NotFound, "its version %s-%s is not known", o.tree.ProductVersion, o.tree.PackageVersion)
	}
	if err != nil {
		return nil, err
	}
	o.control.Product = products[0]
	if o.control.Properties, err = depots.Rows[fleet.ProductProperty](ctx, book, fleet.ProductProperties, of("productId")); err != nil {
		return nil, err
	}
	o.control.Dependencies, err = depots.Rows[fleet.ProductDependency](ctx, book, fleet.ProductDependencies, of("productId"))
	return o, err
}

// copy takes the steps that leave the published tree alone, as prepare does.
func (in *installation) copy(ctx context.Context, there *offered, p *Pulled, progress func(transfer.Progress)) (*published, error) {
	if in.Peer == nil {
		return nil, fleet.Errorf(fleet.NotHere, "this server copies from no other")
	}
	source, err := in.Peer(ctx, there.host, in.intent.Product)
	if err != nil {
		return nil, err
	}
	here, err := in.present(ctx)
	if err != nil {
		return nil, err
	}
	x, err := source.Tree(ctx, here, nil, chunkindex.Limits{})
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(x.Digest[:]) != there.tree.Digest {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "depot %s sends another tree than the one that was installed there", there.host.ID), "try again; it may just have been replaced")
	}
	need := x.Tree.Size()
	if here != nil {
		need = max(need-here.Tree.Size(), 0)
	}
	if err := in.room(need); err != nil {
		return nil, err
	}
	if err := in.begin(ctx, in.book, &in.intent, in.opts.Force, nil); err != nil {
		return nil, err
	}
	in.reached("locked")
	var seeds []transfer.Seed
	if here != nil {
		seeds = []transfer.Seed{{Dir: in.path(in.intent.Product), Index: here}}
	}
	result, err := transfer.Sync(ctx, transfer.Job{Stage: in.staged(treeDir), Index: x, Seeds: seeds, Sources: []transfer.Source{source}, Progress: progress})
	if err != nil {
		return nil, err
	}
	p.Seeded, p.Fetched, p.Wire = result.Seeded, result.Fetched, result.Wire
	in.carried = x.Tree
	t, err := in.index(ctx)
	if err != nil {
		return nil, err
	}
	if t.digest != x.Digest {
		return nil, fleet.Errorf(fleet.Internal, "the copy is not equal to the original")
	}
	in.reached("indexed")
	if err := in.makeDurable(ctx, t); err != nil {
		return nil, err
	}
	in.reached("durable")
	return t, nil
}

// present is the index of the published tree, nil if there is none, or none that
// is of use.
func (in *installation) present(ctx context.Context) (*chunkindex.Index, error) {
	if in.digest(in.intent.Product) == "" {
		return nil, nil
	}
	b, err := in.build(ctx, in.intent.Product)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		in.Log.Warn("the present tree is of no use for a copy", "product", in.intent.Product, "err", err)
		return nil, nil
	}
	return b.Index, nil
}

// tree is the present tree's row.
func (d *Depot) tree(product string) depots.Tree {
	d.swap.RLock()
	defer d.swap.RUnlock()
	return d.trees[product].Tree
}
