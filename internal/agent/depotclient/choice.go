package depotclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/cifs"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/folder"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/webdav"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// Choice is the depots of one round of fetching. It must be closed.
type Choice struct {
	Depots []string // in the order in which they are asked
	Reason string   // why the first is

	client *Client
	wish   Wish
	depots []*depot

	mu    sync.Mutex
	plain map[string]bool // depots that have no manifests
}

// Close ends connections to shares.
func (c *Choice) Close() error {
	var errs []error
	for _, d := range c.depots {
		if d.share != nil {
			errs = append(errs, d.share.Close())
		}
	}
	return errors.Join(errs...)
}

// Protocol is the one that content is read by.
func (c *Choice) Protocol() string { return c.wish.Protocol }

func (c *Choice) chunks(d *depot, product string) (*transfer.HTTP, error) {
	u, err := url.Parse(d.base)
	if err != nil {
		return nil, err
	}
	h, err := c.client.host(u.Hostname())
	if err != nil {
		return nil, err
	}
	return &transfer.HTTP{Client: h.client, Base: d.base, Product: product, Prepare: h.prepare}, nil
}

func (c *Choice) folder(d *depot, product string) (folder.Folder, error) {
	if d.share != nil {
		return &cifs.Folder{Share: d.share, Product: product}, nil
	}
	u, err := url.Parse(d.base)
	if err != nil {
		return nil, err
	}
	h, err := c.client.host(u.Hostname())
	if err != nil {
		return nil, err
	}
	return &webdav.Folder{Client: h.client, Base: d.folder, Product: product, Prepare: h.prepare}, nil
}

// Tree fetches a product's index from the first depot that has one. The code of
// the error is NotHere if none has, but [Choice.Folders] may be believed by
// their lists.
func (c *Choice) Tree(ctx context.Context, product string, have *chunkindex.Index, wire func(io.Reader) io.Reader) (*chunkindex.Index, error) {
	var faults []error
	missing := 0
	for _, d := range c.depots {
		if d.base == "" {
			c.note(d)
			faults = append(faults, fleet.Errorf(fleet.NotFound, "depot %s has no depotWebdavUrl", d.ID))
			missing++
			continue
		}
		source, err := c.chunks(d, product)
		if err == nil {
			var x *chunkindex.Index
			if x, err = source.Tree(ctx, have, wire, chunkindex.Limits{}); err == nil {
				return x, nil
			}
		}
		if ctx.Err() != nil {
			return nil, err
		}
		switch fleet.CodeOf(err) {
		// An opsi server says of an address that it does not know that it is not
		// allowed.
		case fleet.NotFound, fleet.Denied, fleet.Unauthenticated:
			c.note(d)
			missing++
		default:
			if c.wish.Protocol == CIFS { // its share may be all that can be reached
				missing++
			}
		}
		faults = append(faults, fmt.Errorf("depot %s: %w", d.ID, err))
	}
	err := faults[0]
	if len(faults) > 1 {
		err = fleet.Errorf(fleet.CodeOf(err), "no depot is left: %w", errors.Join(faults...))
	}
	switch {
	case missing == 0:
		return nil, err
	case c.wish.Policy == PlainOpsi:
		return nil, fleet.Errorf(fleet.NotHere, "%w", err)
	}
	return nil, fleet.WithHint(err, "products without a manifest are refused here; content_policy = plain-opsi in [depot_server] of agent.conf would take them by their .files list")
}

func (c *Choice) note(d *depot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plain[string(d.ID)] = true
}

// Sources are the depots for content that an index describes. used is called
// with the name of each that begins to answer.
func (c *Choice) Sources(product string, x *chunkindex.Index, used func(from string)) (list []transfer.Source) {
	for _, d := range c.depots {
		f, err := c.folder(d, product)
		if err != nil {
			c.client.Log.Warn("depot cannot be used", "depot", d.ID, "error", err)
			continue
		}
		s := &source{id: string(d.ID), used: used, files: &folder.Source{Folder: f, Index: x}, way: c.wish.Protocol}
		c.mu.Lock()
		plain := c.plain[string(d.ID)]
		c.mu.Unlock()
		if c.wish.Protocol == WebDAV && !plain {
			if h, err := c.chunks(d, product); err == nil {
				s.chunks = h
			}
		}
		list = append(list, s)
	}
	return list
}

// Folders are the depots as folders, nil unless their lists may be believed.
func (c *Choice) Folders(product string) (list []folder.Folder) {
	if c.wish.Policy != PlainOpsi {
		return nil
	}
	for _, d := range c.depots {
		f, err := c.folder(d, product)
		if err != nil {
			c.client.Log.Warn("depot cannot be used", "depot", d.ID, "error", err)
			continue
		}
		list = append(list, named{f, fmt.Sprintf("%s by %s", d.ID, c.wish.Protocol)})
	}
	return list
}

// named is a folder that is called by its depot.
type named struct {
	folder.Folder
	name string
}

func (n named) String() string { return n.name }

// source is one depot: its chunks, or its files where it has none.
type source struct {
	id     string
	way    string
	used   func(from string)
	chunks *transfer.HTTP // nil: it has none
	files  *folder.Source
}

// Chunks implements transfer.Source.
func (s *source) Chunks(ctx context.Context, q chunkindex.Request, wire func(io.Reader) io.Reader, fresh bool) (io.ReadCloser, error) {
	if s.chunks != nil {
		r, err := s.chunks.Chunks(ctx, q, wire, fresh)
		switch fleet.CodeOf(err) {
		case "":
			s.used(s.id + " by chunks")
			return r, nil
		case fleet.NotFound, fleet.Denied, fleet.Unauthenticated:
			s.chunks = nil
		default:
			return nil, err
		}
	}
	s.used(s.id + " by " + s.way)
	return s.files.Chunks(ctx, q, wire, fresh)
}
