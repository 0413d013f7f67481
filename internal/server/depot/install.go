package depot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/server/depot/chunkstore"
)

// Options change how a package is installed.
type Options struct {
	// Force installs a product that somebody locked by hand, and one whose
	// required packages are missing. It never overrides a running installation.
	Force bool
	// PackageDefaults sets the depot's property values to the package's
	// defaults. Else those that the depot has stay, if they are still allowed.
	PackageDefaults bool
	// Values are property values for the depot, by property.
	Values map[string][]any
}

// Report says what was installed.
type Report struct {
	Product        string `json:"product"`
	ProductVersion string `json:"productVersion"`
	PackageVersion string `json:"packageVersion"`
	Replaced       string `json:"replaced,omitempty"` // version before, "1.0-2"
	Files          int    `json:"files"`
	Bytes          int64  `json:"bytes"`
	ManifestDigest string `json:"manifestDigest"` // SHA-256, hexadecimal
	// Differences between what the package holds and what postinst left, in path
	// order, at most maxDifferences; there are Differing.
	Differences []Difference `json:"differences"`
	Differing   int          `json:"differing"`
	Output      string       `json:"output,omitempty"` // of preinst and postinst
	// Trust says who signed the tree, and which hosts refuse it; nil where nobody
	// knows.
	Trust *port.TrustJudgement `json:"trust,omitempty"`
}

// Difference is one path that postinst made, changed or removed.
type Difference struct {
	Path   string `json:"path"`
	Change string `json:"change"` // "added", "changed" or "removed"
}

const maxDifferences = 1000

// installation is one package on its way.
type installation struct {
	*Depot
	book    depots.Book
	opts    Options
	name    archive.Name
	intent  depots.Intent
	control *control.Control
	carried *manifest.Manifest // of CLIENT_DATA as it was packed
	row     depots.Tree        // for the commit
	scripts map[string]bool
	output  output
}

// published is a tree as it was indexed.
type published struct {
	digest [32]byte
	files  int
	bytes  int64
	tree   *manifest.Manifest
}

// Install receives a package of size bytes (-1 if unknown), named as its file
// is, and installs it; any version may follow any other. After an error the
// depot is as it was before. The errors carry a fleet.Code: Invalid for what is
// wrong with the package, Locked, Conflict for missing requirements, Unavailable
// for a full disk.
func (d *Depot) Install(ctx context.Context, actor methods.Actor, filename string, body io.Reader, size int64, opts Options) (r *Report, err error) {
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	err = d.turns.Do(ctx, d.putInOrder, func(ctx context.Context) error {
		r, err = d.install(ctx, actor, filename, body, size, opts)
		return err
	})
	return r, err
}

func (d *Depot) install(ctx context.Context, actor methods.Actor, filename string, body io.Reader, size int64, opts Options) (*Report, error) {
	name, err := archive.ParseName(filename)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "%w", err)
	}
	staging, err := os.MkdirTemp(d.path(stagingDir), string(name.ProductID)+"-*")
	if err != nil {
		return nil, fmt.Errorf("cannot install %s: %w", filename, full(err))
	}
	in := &installation{Depot: d, book: d.Ledger.As(actor), opts: opts, name: name, scripts: map[string]bool{}}
	in.intent = depots.Intent{DepotID: d.DepotID, Product: string(name.ProductID), Staging: filepath.Base(staging)}
	before := in.digest(in.intent.Product)
	var t *published
	var replaced string
	if t, err = in.prepare(ctx, body, size); in.intent.Since != "" {
		err = in.conclude(ctx, &in.intent, err,
			func(ctx context.Context) (err error) { replaced, err = in.finish(ctx, t); return err },
			func() { in.trees[in.intent.Product] = tree{Tree: in.row, digest: t.digest} })
	}
	in.tidy(&in.intent, before, err)
	if err != nil {
		return nil, fmt.Errorf("cannot install %s: %w", filename, full(err))
	}
	select {
	case in.added <- in.intent.Product:
	default: // very many at once: made when the first client asks
	}
	r := in.report(t)
	r.Replaced = replaced
	r.Trust = in.judgement(ctx)
	in.Log.InfoContext(ctx, "product installed", "product", r.Product, "version", in.control.Version(), "files", r.Files, "bytes", r.Bytes,
		"differing", r.Differing, "actor", actor.ID)
	return r, nil
}

// prepare takes the steps of the package comment that leave the published tree
// alone. From the lock on, intent.Since is set.
func (in *installation) prepare(ctx context.Context, body io.Reader, size int64) (*published, error) {
	if err := in.unchanged(ctx, in.intent.Product); err != nil {
		return nil, err // before an hour's upload, not after
	}
	if err := in.receive(ctx, body, size); err != nil {
		return nil, err
	}
	in.reached("received")
	if err := in.unpack(ctx); err != nil {
		return nil, err
	}
	in.reached("unpacked")
	if err := in.begin(ctx, in.book, &in.intent, in.opts.Force, needs(in.control.Depends)); err != nil {
		return nil, err
	}
	in.reached("locked")
	if err := in.preinst(ctx); err != nil {
		return nil, err
	}
	in.reached("preinst")
	if err := in.postinst(ctx); err != nil {
		return nil, err
	}
	in.reached("postinst")
	t, err := in.index(ctx)
	if err != nil {
		return nil, err
	}
	in.reached("indexed")
	if err := in.makeDurable(ctx, t); err != nil {
		return nil, err
	}
	in.reached("durable")
	return t, nil
}

func needs(list []control.Depend) []depots.Need {
	out := make([]depots.Need, len(list))
	for i, d := range list {
		out[i] = depots.Need(d)
	}
	return out
}

// index makes the manifest and `.files` from the staged tree as it is now.
func (in *installation) index(ctx context.Context) (*published, error) {
	root, err := os.OpenRoot(in.staged(treeDir))
	if err != nil {
		return nil, in.unfit(ctx, err)
	}
	defer root.Close()
	list := filesName(in.intent.Product)
	b, err := chunkstore.Build(ctx, root, list)
	if err != nil {
		return nil, in.unfit(ctx, err)
	}
	lines, err := b.Index.Tree.FilesLines(b.MD5)
	if err != nil {
		return nil, err
	}
	if err := root.RemoveAll(list); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(list, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(manifest.WriteFiles(f, lines), f.Close()); err != nil {
		return nil, err
	}
	t := &published{digest: b.Index.Digest, tree: b.Index.Tree, files: b.Index.Tree.Files(), bytes: b.Index.Tree.Size()}
	in.intent.Digest = hex.EncodeToString(t.digest[:])
	in.row = in.rowOf(in.control.Product, t, in.Now())
	return t, nil
}

// unfit is why a staged tree cannot be indexed. What was unpacked could; so it
// is what postinst made of it, if there is one.
func (in *installation) unfit(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !in.scripts["postinst"] {
		return fmt.Errorf("cannot index the tree: %w", err)
	}
	return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use the tree that postinst left: %w", err),
		"postinst may leave folders, files, and links that stay inside CLIENT_DATA_DIR")
}

// makeDurable flushes all that the commit will rely on, then says that from now
// on trees may be moved.
func (in *installation) makeDurable(ctx context.Context, t *published) error {
	if err := in.keepManifest(in.intent.Product, t.tree, in.intent.Digest); err != nil {
		return err
	}
	if err := atomicfile.SyncTree(in.staged()); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(in.path(stagingDir)); err != nil {
		return err
	}
	had, err := exists(in.path(in.intent.Product))
	if err != nil {
		return err
	}
	in.intent.HadTree = had
	return in.book.Announce(ctx, &in.intent)
}

// finish swaps the trees and commits.
func (in *installation) finish(ctx context.Context, t *published) (replaced string, err error) {
	if err := in.publish(&in.intent); err != nil {
		return "", fmt.Errorf("cannot put the tree in place: %w", err)
	}
	in.reached("swapped")
	replaced, err = in.book.Commit(ctx, in.intent, depots.Change{
		Tree: in.row, Product: in.control.Product, Properties: in.control.Properties, Dependencies: in.control.Dependencies,
		PackageDefaults: in.opts.PackageDefaults, Values: in.opts.Values})
	in.reached("committed")
	return replaced, err
}

func (in *installation) report(t *published) *Report {
	p := in.control.Product
	r := &Report{
		Product: string(p.ID), ProductVersion: p.ProductVersion, PackageVersion: p.PackageVersion,
		Files: t.files, Bytes: t.bytes, ManifestDigest: in.intent.Digest, Output: in.output.String(),
	}
	r.compare(in.carried, t.tree)
	return r
}

func (r *Report) compare(before, after *manifest.Manifest) {
	diff := manifest.Compare(before, after)
	add := func(path, change string) {
		if path == filesName(r.Product) {
			return
		}
		if r.Differing++; len(r.Differences) < maxDifferences {
			r.Differences = append(r.Differences, Difference{path, change})
		}
	}
	r.Differences = []Difference{}
	for _, e := range diff.Added {
		add(e.Path, "added")
	}
	for _, c := range diff.Changed {
		add(c.New.Path, "changed")
	}
	for _, e := range diff.Removed {
		add(e.Path, "removed")
	}
}

func (in *installation) staged(elem ...string) string {
	return in.path(append([]string{stagingDir, in.intent.Staging}, elem...)...)
}
