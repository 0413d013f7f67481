package productcache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/folder"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// syncListed is Sync where only the seed's `.files` list tells what a product
// is. What arrives is checked by size and MD5; from then on the copy is known by
// SHA-256 like any other.
func (c *Cache) syncListed(ctx context.Context, from Depot, p, old Product, have *chunkindex.Index, wanted []string) (Product, error) {
	p.Checked = ByMD5
	if err := c.allow(Tree{Product: p}); err != nil { // before anything is fetched
		return p, fmt.Errorf("cannot cache product %s: %w", p.ID, err)
	}
	folders := from.Folders(p.ID)
	list, err := c.list(ctx, &p, folders)
	if err != nil {
		return p, err
	}
	if have != nil && old.Listed == p.Listed {
		p.Digest, p.Files, p.Bytes, p.From = old.Digest, old.Files, old.Bytes, old.From
		c.whole(p)
		return p, nil
	}
	size, _ := folder.Size(list)
	if err := c.makeRoom(ctx, p.ID, size, newListed(have, list), wanted); err != nil {
		return p, err
	}
	got, err := folder.Collect(ctx, folder.Job{Dir: c.parts(p.ID), List: list, Copies: []string{c.Dir(p.ID)}, Folders: folders,
		Limiter: c.limit, Portable: c.noLinks, Progress: func(pr transfer.Progress) { c.note(p.ID, pr) }})
	p.Wire = got.Wire
	if err != nil {
		return p, fmt.Errorf("cannot cache product %s: %w", p.ID, err)
	}
	p.is(got.Index)
	if p.From = got.From; p.From == "" {
		p.From = old.From
	}
	c.sweep(p.ID, old.Digest)
	job := transfer.Job{Index: got.Index, Seeds: got.Seeds}
	for _, f := range folders { // for what is damaged between here and there
		job.Sources = append(job.Sources, &folder.Source{Folder: f, Index: got.Index})
	}
	c.log.Warn("product without a manifest: its content was checked by MD5 only", "product", p.ID, "from", p.From)
	if err := c.publish(ctx, &p, job); err != nil {
		return p, err
	}
	c.whole(p)
	return p, os.RemoveAll(c.parts(p.ID))
}

// list is the product's list of the first depot that gives one.
func (c *Cache) list(ctx context.Context, p *Product, folders []folder.Folder) ([]manifest.FilesLine, error) {
	var faults []error
	for _, f := range folders {
		list, sum, err := folder.List(ctx, f, p.ID, line.Options{Limiter: c.limit, Idle: c.stall})
		if err == nil {
			p.Listed = hex.EncodeToString(sum[:])
			return list, nil
		}
		faults = append(faults, err)
		if ctx.Err() != nil {
			break
		}
	}
	switch len(faults) {
	case 0:
		return nil, fleet.Errorf(fleet.Unavailable, "cannot cache product %s: there is no depot", p.ID)
	case 1:
		return nil, faults[0]
	}
	return nil, fleet.Errorf(fleet.CodeOf(faults[0]), "no depot is left: %w", errors.Join(faults...))
}

// newListed is how many bytes of the list the copy does not have by name and
// size. What arrives is linked into the tree, or copied where that is not
// possible.
func newListed(have *chunkindex.Index, list []manifest.FilesLine) (need int64) {
	for _, l := range list {
		if l.Type != manifest.File {
			continue
		}
		if have != nil {
			if e, ok := have.Tree.Find(l.Path); ok && e.Type.Regular() && e.Size == l.Size {
				continue
			}
		}
		need += l.Size
	}
	if runtime.GOOS == "windows" {
		need *= 2
	}
	return need
}
