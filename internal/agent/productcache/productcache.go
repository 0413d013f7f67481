// Package productcache keeps whole copies of products on this machine: the
// seed's ProductCacheService.
//
// A product's copy lies in <dir>/depot/<product>, as on the depot; it is there
// either whole and checked or not at all, because it is made in a staging
// folder beside and put in place by one rename. What arrived in the staging
// folder is kept over interruptions of any kind. A new version starts from the
// copy of the version before, which stays in place until the new one is whole.
//
// The tree's index is kept beside the copy: it tells what to fetch of the next
// version, and by it a copy is verified before anything is installed from it.
package productcache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/folder"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

// Product is one product in the cache.
type Product struct {
	ID             string `col:"productId,ident"`
	ProductVersion string `col:"productVersion"`
	PackageVersion string `col:"packageVersion"`
	Digest         string `col:"digest"` // of the manifest, in hexadecimal
	Files          int64  `col:"files"`
	Bytes          int64  `col:"bytes"`
	Wire           int64  `col:"wire"` // bytes that the last synchronisation fetched
	Synced         string `col:"synced,time"`
	From           string `col:"source"`  // the depot that content came from last, and how
	Checked        string `col:"checked"` // [BySHA256] or [ByMD5]: what the content was checked by when it came
	Listed         string `col:"listed"`  // SHA-256 of the `.files` list, where only that was there
}

// What content is checked by when it arrives. A copy on this machine is always
// verified by SHA-256.
const (
	BySHA256 = "sha256"
	ByMD5    = "md5"
)

// Products is the class of Product, for [store.Open].
var Products = fleet.LocalClass[Product]("cachedProduct")

// Depot is where the products of one round come from: one depot, or several of
// which the next takes over where one fails.
type Depot interface {
	// Tree is a product's index; have is as in transfer.HTTP. The code of an error
	// is NotHere if there is none and Folders may be believed by their lists.
	Tree(ctx context.Context, product string, have *chunkindex.Index, wire func(io.Reader) io.Reader) (*chunkindex.Index, error)
	// Sources have the content that an index describes; used is told which is
	// asked.
	Sources(product string, x *chunkindex.Index, used func(from string)) []transfer.Source
	Folders(product string) []folder.Folder
}

// DefaultMaxSize is seed A's product_cache_max_size where none is configured:
// 20 GB, as opsi ships it.
const DefaultMaxSize = 20_000_000_000

// maxEntries bounds a tree whose links are replaced by copies, as package
// transfer does.
const maxEntries = 1_000_000

// Cache is the product cache of one machine.
type Cache struct {
	dir     string
	store   *store.Store
	maxSize atomic.Int64
	limit   *throttle.Limiter
	noLinks bool
	allow   func(Tree) error
	stall   time.Duration
	log     *slog.Logger

	mu       sync.Mutex
	progress map[string]transfer.Progress
}

// Options are what the configuration says about the cache.
type Options struct {
	Dir     string            // the cache's folder (storage_dir)
	MaxSize int64             // product_cache_max_size; 0 is DefaultMaxSize
	Limiter *throttle.Limiter // the machine's one rate
	NoLinks bool              // copies stand in the place of links (seed A: on Windows)
	// Allow says whether a tree may be kept here at all, with the code Denied if not;
	// nil allows all.
	Allow func(Tree) error
}

// New makes the cache.
func New(opts Options, s *store.Store, log *slog.Logger) *Cache {
	if opts.Allow == nil {
		opts.Allow = func(Tree) error { return nil }
	}
	c := &Cache{dir: opts.Dir, store: s, limit: opts.Limiter, noLinks: opts.NoLinks, allow: opts.Allow, stall: stall, log: log,
		progress: map[string]transfer.Progress{}}
	c.SetMaxSize(opts.MaxSize)
	return c
}

// SetMaxSize changes the upper limit, 0 being [DefaultMaxSize]; it counts from the next
// product on.
func (c *Cache) SetMaxSize(bytes int64) {
	if bytes <= 0 {
		bytes = DefaultMaxSize
	}
	c.maxSize.Store(bytes)
}

// Dir is where a product's copy lies.
func (c *Cache) Dir(product string) string { return filepath.Join(c.dir, "depot", product) }

func (c *Cache) stage(product string) string { return filepath.Join(c.dir, "staging", product) }

// parts is where content of a product gathers of which only a list is known.
func (c *Cache) parts(product string) string { return filepath.Join(c.dir, "parts", product) }

func (c *Cache) indexFile(product, digest string) string {
	return filepath.Join(c.dir, "index", product+"."+digest)
}

// Recover makes whole what a crash left; it comes before anything reads a copy.
func (c *Cache) Recover(ctx context.Context) error {
	for _, sub := range []string{"depot", "staging", "parts", "index"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o700); err != nil {
			return fmt.Errorf("cannot prepare the product cache: %w", err)
		}
	}
	for _, e := range entries(filepath.Join(c.dir, "index")) {
		if strings.HasPrefix(e, atomicfile.TempPrefix) { // a crash left it
			os.Remove(filepath.Join(c.dir, "index", e))
		}
	}
	held, err := c.List(ctx)
	if err != nil {
		return err
	}
	for _, p := range held {
		if err := transfer.Recover(c.Dir(p.ID)); err != nil {
			return err
		}
	}
	return nil
}

// List is what the cache holds.
func (c *Cache) List(ctx context.Context) (list []Product, err error) {
	err = c.store.View(ctx, func(tx *store.Tx) error {
		list, err = store.All[Product](tx, Products, nil)
		return err
	})
	return list, err
}

// Progress is how far each running or finished synchronisation has come since
// the agent's start.
func (c *Cache) Progress() map[string]transfer.Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]transfer.Progress, len(c.progress))
	for id, p := range c.progress {
		out[id] = p
	}
	return out
}

// Sync makes the copy of a product equal to the depot's. The row that it
// returns is to be written in the transaction that notes the success; wanted
// are the products that must stay when room is made.
func (c *Cache) Sync(ctx context.Context, from Depot, want fleet.ProductOnDepot, wanted []string) (Product, error) {
	p, err := c.sync(ctx, from, want, wanted)
	if fleet.CodeOf(err) == fleet.Conflict { // the depot got another tree meanwhile
		p, err = c.sync(ctx, from, want, wanted)
	}
	return p, err
}

func (c *Cache) sync(ctx context.Context, from Depot, want fleet.ProductOnDepot, wanted []string) (Product, error) {
	id := string(want.ProductID)
	p := Product{ID: id, ProductVersion: want.ProductVersion, PackageVersion: want.PackageVersion, Checked: BySHA256}
	if err := fleet.ValidProductID(id); err != nil {
		return p, err
	}
	old, have, err := c.held(ctx, id)
	if err != nil {
		return p, err
	}
	index, err := c.tree(ctx, from, id, have)
	switch {
	case fleet.CodeOf(err) == fleet.NotHere:
		return c.syncListed(ctx, from, p, old, have, wanted)
	case err != nil:
		return p, err
	}
	p.is(index)
	if err := c.allow(Tree{Product: p, Digest: index.Digest}); err != nil {
		return p, fmt.Errorf("cannot cache product %s: %w", id, err)
	}
	if have != nil && old.Digest == p.Digest {
		p.From = old.From
		c.whole(p)
		return p, nil
	}
	need := p.Bytes
	if have != nil {
		need = newBytes(have.Tree, index.Tree)
	}
	c.sweep(id, old.Digest)
	if err := c.makeRoom(ctx, id, p.Bytes, need, wanted); err != nil {
		return p, err
	}
	job := transfer.Job{Index: index, Progress: func(pr transfer.Progress) { c.note(id, pr) },
		Sources: from.Sources(id, index, func(name string) { p.From = name })}
	// After a crash between the exchange and the note of it, the copy in place
	// is already the new one: it is looked at by both indexes.
	job.Seeds = append(job.Seeds, transfer.Seed{Dir: c.Dir(id), Index: index, Disposable: true})
	if have != nil {
		job.Seeds = append(job.Seeds, transfer.Seed{Dir: c.Dir(id), Index: have, Disposable: true})
	}
	if _, err := os.Lstat(c.Dir(id)); errors.Is(err, fs.ErrNotExist) {
		job.Seeds = nil
	}
	err = c.publish(ctx, &p, job) // first: it says more of p
	return p, err
}

// is notes what a product's tree is.
func (p *Product) is(x *chunkindex.Index) {
	p.Digest = hex.EncodeToString(x.Digest[:])
	p.Files, p.Bytes = int64(x.Tree.Files()), x.Tree.Size()
}

// whole notes that all of a product is here.
func (c *Cache) whole(p Product) {
	c.note(p.ID, transfer.Progress{FilesDone: int(p.Files), FilesTotal: int(p.Files), BytesDone: p.Bytes, BytesTotal: p.Bytes, WireBytes: p.Wire})
}

// publish fills the staging folder and puts it in place.
func (c *Cache) publish(ctx context.Context, p *Product, job transfer.Job) error {
	if err := atomicfile.WriteFile(c.indexFile(p.ID, p.Digest), job.Index.Text(), 0o644); err != nil {
		return fmt.Errorf("cannot keep the index of %s: %w", p.ID, err)
	}
	job.Stage, job.Limiter, job.CopyLinks = c.stage(p.ID), c.limit, c.noLinks
	res, err := transfer.Sync(ctx, job)
	if err != nil {
		return fmt.Errorf("cannot cache product %s: %w", p.ID, err)
	}
	p.Wire += res.Wire
	c.log.Info("product cached", "product", p.ID, "version", p.ProductVersion, "from", p.From, "checked", p.Checked, "files", p.Files, "bytes", p.Bytes,
		"kept", res.Kept, "reused", res.Seeded, "wire", p.Wire, "requests", res.Requests)
	return transfer.Publish(c.stage(p.ID), c.Dir(p.ID))
}

// sweep forgets indexes that no copy needs any more. A product's id may begin
// with another's, and have dots; a digest has none.
func (c *Cache) sweep(product, digest string) {
	for _, e := range entries(filepath.Join(c.dir, "index")) {
		if i := strings.LastIndexByte(e, '.'); i >= 0 && e[:i] == product && e[i+1:] != digest {
			os.Remove(filepath.Join(c.dir, "index", e))
		}
	}
}

// entries are the names in a folder; one that cannot be read has none.
func entries(dir string) (names []string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func (c *Cache) note(product string, p transfer.Progress) {
	c.mu.Lock()
	c.progress[product] = p
	c.mu.Unlock()
}

// held is what the cache has of a product; the index is nil if there is no
// copy, or none that can be told apart.
func (c *Cache) held(ctx context.Context, product string) (p Product, index *chunkindex.Index, err error) {
	err = c.store.View(ctx, func(tx *store.Tx) error {
		r, err := tx.ByKey(Products, Products.Key(fleet.Row{"productId": product}))
		if r != nil {
			Products.Decode(r, &p)
		}
		return err
	})
	if err != nil || p.Digest == "" {
		return p, nil, err
	}
	if _, err := os.Lstat(c.Dir(product)); err != nil {
		return p, nil, nil
	}
	f, err := os.Open(c.indexFile(product, p.Digest))
	if err != nil {
		return p, nil, nil // it is fetched again; so is what cannot be verified without it
	}
	defer f.Close()
	index, err = chunkindex.Parse(f, chunkindex.Limits{})
	if err != nil {
		c.log.Warn("the index of a cached product is damaged", "product", product, "error", err)
		return p, nil, nil
	}
	return p, index, nil
}

// Has is an error, of code NotFound, unless there is a copy of the product in
// that version. It does not look whether the copy is damaged.
func (c *Cache) Has(ctx context.Context, product, productVersion, packageVersion string) error {
	_, _, err := c.version(ctx, product, productVersion, packageVersion)
	return err
}

// version is a product's copy in that version, with its index.
func (c *Cache) version(ctx context.Context, product, productVersion, packageVersion string) (Product, *chunkindex.Index, error) {
	p, index, err := c.held(ctx, product)
	if err == nil && (index == nil || p.ProductVersion != productVersion || p.PackageVersion != packageVersion) {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "product %s %s-%s is not in the cache", product, productVersion, packageVersion),
			"the next event that caches products fetches it")
	}
	return p, index, err
}

// Tree is a product's tree by its name: the digest of its manifest. It is zero
// where there is only a list, and nobody can have signed the tree.
type Tree struct {
	Product
	Digest [32]byte
}

// Copy is a product's copy that was looked at a moment ago.
type Copy struct {
	Tree
	Dir     string
	Content *manifest.Manifest // of the folder
}

// Verified returns a product's copy after every byte of it was checked. The code
// is NotFound if there is no copy in that version, Conflict if the copy is
// damaged, Denied if it is not allowed (any more).
func (c *Cache) Verified(ctx context.Context, product, productVersion, packageVersion string) (Copy, error) {
	p, index, err := c.version(ctx, product, productVersion, packageVersion)
	if err != nil {
		return Copy{}, err
	}
	out := Copy{Tree: Tree{Product: p, Digest: index.Digest}, Dir: c.Dir(product)}
	if err := c.allow(out.Tree); err != nil {
		return Copy{}, err
	}
	if c.noLinks {
		if index, err = index.WithoutLinks(maxEntries); err != nil {
			return Copy{}, fmt.Errorf("cannot verify cached product %s: %w", product, err)
		}
	}
	out.Content = index.Tree
	root, err := os.OpenRoot(c.Dir(product))
	if err != nil {
		return Copy{}, fmt.Errorf("cannot open cached product %s: %w", product, err)
	}
	defer root.Close()
	wrong, err := transfer.Verify(ctx, root, index.Tree)
	if err != nil {
		return Copy{}, err
	}
	if len(wrong) > 0 {
		return Copy{}, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cached product %s is damaged: %s %s, and %d more", product, wrong[0].Path, wrong[0].Why, len(wrong)-1),
			"the next synchronisation fetches what is wrong again")
	}
	return out, nil
}

// Forget makes the next synchronisation look at a copy that was found damaged.
func Forget(tx *store.Tx, product string) error {
	return tx.Put(Products, fleet.Row{"productId": product, "digest": "damaged"})
}
