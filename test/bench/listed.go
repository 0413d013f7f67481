package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/folder"
	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	dav "github.com/fernwerk/fernwerk/internal/backend/transfer/webdav"
	"github.com/fernwerk/fernwerk/test/bench/peer"
	"github.com/fernwerk/fernwerk/test/bench/tree"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// listed fetches the product as from a depot of a plain opsi server: by its
// `.files` list alone, files side by side.
func (b *bench) listed(ctx context.Context, l *site.Line, id identity.Identity, t *tree.Tree) (peer.Cost, error) {
	u, err := url.Parse(l.URL())
	if err != nil {
		return peer.Cost{}, err
	}
	client, prepare, err := id.HTTPTo("bench", u.Hostname())
	if err != nil {
		return peer.Cost{}, err
	}
	defer client.CloseIdleConnections()
	f := &dav.Folder{Client: client, Base: l.URL() + "/depot", Product: product, Prepare: func(r *http.Request) error { return prepare(r) }}
	dir := filepath.Join(b.scratch, "listed")
	if err := os.RemoveAll(dir); err != nil {
		return peer.Cost{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.Reset()
	began := time.Now()
	list, _, err := folder.List(ctx, f, product, line.Options{})
	if err != nil {
		return peer.Cost{}, err
	}
	got, err := folder.Collect(ctx, folder.Job{Dir: filepath.Join(dir, "parts"), List: list, Folders: []folder.Folder{f}})
	if err != nil {
		return peer.Cost{}, err
	}
	stage := filepath.Join(dir, "stage")
	if _, err := transfer.Sync(ctx, transfer.Job{Stage: stage, Index: got.Index, Seeds: got.Seeds}); err != nil {
		return peer.Cost{}, err
	}
	took := time.Since(began).Seconds()
	up, down := l.Counts()
	b.say(".files by %d GETs at once: %.2f s, %d bytes over the line", folder.Parallel, took, up+down)
	if n := len(list); n == 0 {
		return peer.Cost{}, fmt.Errorf("the list is empty")
	}
	return peer.Cost{Seconds: took, Bytes: up + down}, t.Same(stage)
}
