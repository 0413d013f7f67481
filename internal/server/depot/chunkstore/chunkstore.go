// Package chunkstore serves the depot's trees by chunks: the fast way from a
// depot to an agent or to another depot, beside WebDAV.
//
//	GET  /v1/depot/{product}/tree     the tree's index (package chunkindex)
//	POST /v1/depot/{product}/chunks   the chunks that a request names
//
// # The tree is the store
//
// Chunks are read from the depot's folder, which Samba and WebDAV serve as it
// is; every chunk is hashed before it is sent. A file that somebody changed in
// place therefore ends the answer with an error (HTTP trailer
// [chunkindex.ErrorTrailer]) and never sends wrong bytes.
//
// # The cache
//
// What is expensive is kept in a cache folder that may be deleted at any time,
// one folder a product:
//
//	<tree digest>-<SHA-256 of the index text>.index   the index, as zstd
//	<tree digest>-<the same of an older index>.delta  its difference to that one
//	<SHA-256 of the chunk sums>.block                 a block, as zstd frame
//
// Blocks are compressed hard by Serve, in the background, with one processor;
// a wanted block that is not ready, and parts of blocks, are compressed quickly
// when they are asked for. On the Go toolchain's sources (128 MB; tar and
// zstd -3: 28.8 MB) hard is 24.6 MB at 18 MB/s and quick 26.6 MB at 60 MB/s.
//
// # Limits
//
// A request that is being compressed holds about 5 MiB, and as many compress at
// once as there are processors; one that is being sent holds its compressed
// piece, below 4 MiB and mostly 1. Serve holds about 100 MiB. Who may ask for
// which product is decided before the handler is called.
package chunkstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/singleflight"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Trees finds a product's tree and the digest of the manifest that was taken
// when it was installed. The store closes the root. A product that is not there
// is an error with [fleet.NotFound].
type Trees func(ctx context.Context, product string) (root *os.Root, digest [sha256.Size]byte, err error)

// Store serves trees. It must be made by [New].
type Store struct {
	cache cache
	trees Trees
	log   *slog.Logger

	quick  *zstd.Encoder // for EncodeAll, by several at once
	atOnce chan struct{} // a token for each that reads and compresses
	flight singleflight.Group

	mu       sync.Mutex
	catalogs []*catalog // the last used, newest first
	queue    []string   // products for Serve
	wake     chan struct{}
}

// maxCatalogs is how many indexes stay in memory; one of 10,000 files has about
// 3 MB.
const maxCatalogs = 8

// New returns a store that keeps its cache in a folder, which is made when it is
// missing. Nothing is compressed in the background before Serve runs.
func New(cacheDir string, trees Trees, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot open the chunk cache: %w", err)
	}
	quick, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(maxPiece), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, fmt.Errorf("cannot open the chunk cache: %w", err)
	}
	return &Store{
		cache:  cache(cacheDir),
		trees:  trees,
		log:    log,
		quick:  quick,
		atOnce: make(chan struct{}, runtime.GOMAXPROCS(0)),
		wake:   make(chan struct{}, 1),
	}, nil
}

// Handler answers the two paths of the package comment.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/depot/{product}/tree", s.serveTree)
	mux.HandleFunc("POST /v1/depot/{product}/chunks", s.serveChunks)
	return mux
}

// Add indexes a tree that has just been put in place, and has it compressed. The
// installer calls it, keeps the index' digest for [Trees] and writes `.files`
// from the MD5 sums. root stays the caller's.
func (s *Store) Add(ctx context.Context, product string, root *os.Root) (*Built, error) {
	b, err := Build(ctx, root, filesList(product))
	if err != nil {
		return nil, err
	}
	if err := s.cache.putIndex(product, b.Index); err != nil {
		return nil, err
	}
	s.remember(newCatalog(b.Index))
	s.enqueue(product)
	return b, nil
}

// filesList is the path of the seed's list in a product's folder; it describes
// the tree and is not part of it.
func filesList(product string) string { return product + ".files" }

// open finds the product's tree and its catalog.
func (s *Store) open(ctx context.Context, product string) (*content, error) {
	if err := checkProduct(product); err != nil {
		return nil, err
	}
	root, digest, err := s.trees(ctx, product)
	if err != nil {
		return nil, err
	}
	c, err := s.catalog(ctx, product, root, digest)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &content{catalog: c, root: root}, nil
}

// checkProduct keeps what comes from an address inside the cache folder. A
// product id is narrower still; that is the owner's check.
func checkProduct(product string) error {
	if manifest.CheckPath(product) != nil || strings.ContainsAny(product, "/:") {
		return fleet.Errorf(fleet.NotFound, "there is no product %.100q", product)
	}
	return nil
}

// catalog gets the index from memory or from the cache, or makes it again.
func (s *Store) catalog(ctx context.Context, product string, root *os.Root, digest [sha256.Size]byte) (*catalog, error) {
	if c := s.recall(digest); c != nil {
		return c, nil
	}
	v, err, _ := s.flight.Do(product+"\x00"+string(digest[:]), func() (any, error) {
		x, err := s.cache.index(product, digest)
		if err != nil {
			s.log.Info("making the tree index again", "product", product, "reason", err)
			// The answer is everybody's: it must not end with the first caller.
			if x, err = s.rebuild(context.WithoutCancel(ctx), product, root, digest); err != nil {
				return nil, err
			}
		}
		c := newCatalog(x)
		s.remember(c)
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	s.enqueue(product)
	return v.(*catalog), nil
}

func (s *Store) rebuild(ctx context.Context, product string, root *os.Root, digest [sha256.Size]byte) (*chunkindex.Index, error) {
	b, err := Build(ctx, root, filesList(product))
	if err != nil {
		return nil, err
	}
	if b.Index.Digest != digest {
		err := fleet.Errorf(fleet.Conflict, "cannot serve the product %q: its files are not what was installed (tree %x, not %x)",
			product, b.Index.Digest[:6], digest[:6])
		return nil, fleet.WithHint(err, "install the product again; a depot's files must not be edited in place")
	}
	return b.Index, s.cache.putIndex(product, b.Index)
}

func (s *Store) recall(digest [sha256.Size]byte) *catalog {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.catalogs {
		if c.Digest == digest {
			copy(s.catalogs[1:i+1], s.catalogs[:i])
			s.catalogs[0] = c
			return c
		}
	}
	return nil
}

func (s *Store) remember(c *catalog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.catalogs) == maxCatalogs {
		s.catalogs = s.catalogs[:maxCatalogs-1]
	}
	s.catalogs = append([]*catalog{c}, s.catalogs...)
}
