package productcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/freespace"
)

// reserve is what a synchronisation leaves free on the disk.
const reserve = 100 << 20

// tidy removes what no row tells of and nobody wants: what arrived of a product
// that is not asked for any more, and what a crash left between a copy and its
// row.
func (c *Cache) tidy(list []Product, keep map[string]bool) {
	held := map[string]bool{}
	for _, p := range list {
		held[p.ID] = true
	}
	for _, sub := range []string{"depot", "staging", "parts"} {
		for _, e := range entries(filepath.Join(c.dir, sub)) {
			if !keep[e] && !strings.HasPrefix(e, ".") && (!held[e] || sub != "depot") {
				os.RemoveAll(filepath.Join(c.dir, sub, e))
			}
		}
	}
}

// makeRoom deletes copies that nobody wants, the longest unused first, until
// the new one of size bytes fits, or says what is missing. The disk must take as
// many bytes as need, less what has arrived already.
func (c *Cache) makeRoom(ctx context.Context, product string, size, need int64, wanted []string) error {
	list, err := c.List(ctx)
	if err != nil {
		return err
	}
	total := size
	keep := map[string]bool{product: true}
	for _, id := range wanted {
		keep[id] = true
	}
	for _, p := range list {
		if p.ID != product {
			total += p.Bytes
		}
	}
	c.tidy(list, keep)
	for {
		free, err := freespace.Of(c.dir)
		if err != nil {
			return err
		}
		fits := int64(free)-reserve >= need-dirSize(c.stage(product))-dirSize(c.parts(product))
		if total <= c.maxSize.Load() && fits {
			return nil
		}
		i := oldest(list, keep)
		if i < 0 && !fits {
			return fleet.WithHint(fleet.Errorf(fleet.TooLarge, "cannot cache product %s: it needs %d bytes, the disk has %d free and %d are kept in reserve", product, need, free, reserve),
				"make room on the disk; what has arrived is kept")
		}
		if i < 0 {
			return fleet.WithHint(fleet.Errorf(fleet.TooLarge, "cannot cache product %s: the products wanted need %d bytes, product_cache_max_size is %d", product, total, c.maxSize.Load()),
				"raise product_cache_max_size in [cache_service]")
		}
		c.log.Info("cached product removed to make room", "product", list[i].ID, "bytes", list[i].Bytes)
		if err := c.remove(ctx, list[i].ID); err != nil {
			return err
		}
		total -= list[i].Bytes
		list = append(list[:i], list[i+1:]...)
	}
}

// newBytes is how much of the new tree the old one cannot give whole.
func newBytes(old, tree *manifest.Manifest) int64 {
	var n int64
	d := manifest.Compare(old, tree)
	for _, e := range d.Added {
		n += e.Size
	}
	for _, ch := range d.Changed {
		n += ch.New.Size
	}
	return n
}

func oldest(list []Product, keep map[string]bool) int {
	found := -1
	for i, p := range list {
		if !keep[p.ID] && (found < 0 || p.Synced < list[found].Synced) {
			found = i
		}
	}
	return found
}

func dirSize(dir string) int64 {
	var n int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// remove deletes a product's copy; a crash in the middle leaves it to [tidy].
func (c *Cache) remove(ctx context.Context, product string) error {
	err := c.store.Update(ctx, store.Origin{Actor: "agent"}, func(tx *store.Tx) error {
		return tx.Remove(Products, fleet.Row{"productId": product})
	})
	if err == nil {
		err = errors.Join(os.RemoveAll(c.Dir(product)), os.RemoveAll(c.stage(product)), os.RemoveAll(c.parts(product)))
	}
	if err != nil {
		return fmt.Errorf("cannot remove cached product %s: %w", product, err)
	}
	c.sweep(product, "")
	return nil
}
