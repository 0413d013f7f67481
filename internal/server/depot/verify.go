package depot

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/server/depot/chunkstore"
)

// ContentFile writes `.files` anew, if the
// tree is the one that was installed.
func (d *Depot) ContentFile(ctx context.Context, product string) error {
	b, err := d.build(ctx, product)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(b.Index.Digest[:]); got != d.digest(product) {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot list the files of %q on depot %s: its tree was changed by hand", product, d.DepotID),
			"see what differs with: fernwerk depot verify %s %s; then install the package again", d.DepotID, product)
	}
	lines, err := b.Index.Tree.FilesLines(b.MD5)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := manifest.WriteFiles(&text, lines); err != nil {
		return err
	}
	return atomicfile.WriteFile(d.path(product, filesName(product)), []byte(text.String()), 0o644)
}

// build reads a product's published tree as it is now.
func (d *Depot) build(ctx context.Context, product string) (*chunkstore.Built, error) {
	if err := fleet.ValidProductID(product); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the product: %w", err)
	}
	root, _, err := d.open(ctx, product)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return chunkstore.Build(ctx, root, filesName(product))
}

// Verified says how a product's tree compares with what was installed.
type Verified struct {
	Product     string       `json:"product"`
	Files       int          `json:"files"`
	Differences []Difference `json:"differences"` // at most maxDifferences; there are Differing
	Differing   int          `json:"differing"`
}

// Verify reads a product's whole tree.
func (d *Depot) Verify(ctx context.Context, product string) (*Verified, error) {
	b, err := d.build(ctx, product)
	if err != nil {
		return nil, err
	}
	v := &Verified{Product: product, Files: b.Index.Tree.Files()}
	digest := d.digest(product)
	if hex.EncodeToString(b.Index.Digest[:]) == digest {
		v.Differences = []Difference{}
		return v, nil
	}
	want, err := d.readManifest(product, digest)
	if err != nil {
		return nil, fmt.Errorf("cannot tell how the tree of %q was: %w", product, err)
	}
	r := &Report{Product: product}
	r.compare(want, b.Index.Tree)
	v.Differences, v.Differing = r.Differences, r.Differing
	return v, nil
}
