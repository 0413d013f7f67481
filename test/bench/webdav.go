package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/test/bench/peer"
	"github.com/fernwerk/fernwerk/test/bench/plaindav"
	"github.com/fernwerk/fernwerk/test/bench/tree"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// sample is how many files the sequential downloader fetches really.
const sample = 300

// sequential downloads a sample of whole folders, and tells what all of the
// tree costs at the same time for each request and the same overhead in bytes:
// the line's rate carries the content, the rest of the time is waiting.
func (b *bench) sequential(ctx context.Context, s *site.Server, line *site.Line, id identity.Identity, t *tree.Tree) (all peer.Cost, files int, err error) {
	w, err := plaindav.New(line.URL(), product, id)
	if err != nil {
		return all, 0, err
	}
	defer w.Close()
	dir := filepath.Join(b.scratch, "webdav")
	if err := os.RemoveAll(dir); err != nil {
		return all, 0, err
	}
	// The same folders each time, and not the first ones.
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(t.Folders))
	line.Reset()
	began := time.Now()
	requests, content := 0, int64(0)
	for _, i := range order {
		if files >= sample {
			break
		}
		names, err := w.List(ctx, t.Folders[i])
		if err != nil {
			return all, files, err
		}
		requests++
		for _, name := range names {
			n, err := w.Get(ctx, path.Join(t.Folders[i], name), filepath.Join(dir, filepath.FromSlash(t.Folders[i]), name))
			if err != nil {
				return all, files, err
			}
			requests, files, content = requests+1, files+1, content+n
		}
	}
	took := time.Since(began).Seconds()
	up, down := line.Counts()
	b.say("sequential WebDAV: %d folders and files, %d bytes of content, in %.1f s, %d bytes over the line", requests, content, took, up+down)
	rate := float64(site.Branch.Rate)
	waiting := (took - float64(content)/rate) / float64(requests)
	overhead := float64(up+down-content) / float64(requests)
	total := float64(len(t.Files) + len(t.Folders))
	return peer.Cost{Seconds: waiting*total + float64(t.Bytes)/rate, Bytes: int64(overhead*total) + t.Bytes}, files, nil
}
