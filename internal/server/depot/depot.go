// Package depot keeps the products that clients fetch: it installs and removes
// packages, and serves the trees by WebDAV (package dav: opsi clients, any
// machine with a browser) and by chunks (package chunkstore: agents, other
// depots).
//
// # The folder
//
//	<dir>/<product>/                  the product's files; the tree is the store
//	<dir>/<product>/<product>.files   the seed's list of them (MD5), see below
//	<dir>/.staging/<id>/              an installation under way; emptied at start
//	<dir>/.manifests/<product>-<sum>  the manifest v1 of a tree, by its SHA-256
//	<dir>/.lock                       held by the one process that owns the folder
//
// Names that begin with a dot are served to nobody. `<product>.files` describes
// the tree and is no part of it: neither the list nor the manifest name it. It is
// written after postinst, so both tell what clients will see.
//
// # Installing is all or nothing
//
// Everything is prepared beside the published tree. The steps, each of which a
// crash may follow (TestKilledAtEveryStep):
//
//	received   the package is in staging; nothing of it is believed yet
//	unpacked   its layers are, and its content is the manifest that it carries
//	locked     the intent is written and the product locked (package depots)
//	preinst    has run
//	postinst   has run, on the staged tree: if it fails, nothing was published
//	indexed    manifest and `.files` are made from the tree as it is now
//	durable    staging is flushed; the intent says "publishing" and which tree
//	swapped    the staged tree and the published one have changed places
//	committed  all rows are changed and the intent is gone, in one transaction
//	cleaned    staging is removed, and the old tree with it
//
// The commit decides. Where the intent still stands, at start or after an error,
// the trees change back and the locks are undone ([Depot.Recover]); where it is
// gone, the new version is complete, and what lies in staging is rubbish. Whether
// the trees had changed places is read off the folder; only where both names
// exist, the published tree is hashed and compared with what the intent names.
// Between swap and commit, some milliseconds, WebDAV readers see the new tree
// and the database the old version; readers of chunks wait. Removing is the same
// with nothing to put in place.
//
// # Scripts
//
// preinst and postinst of a package run as the server's user, in the folder of
// the package's control files, with the variables that opsi gives them. preinst
// finds a copy of the published tree in CLIENT_DATA_DIR, so that it can put aside
// what postinst, which finds the staged tree there, shall carry over. Neither can
// change what clients see before the installation is complete.
//
// # Not here
//
// Who may do what is decided by the caller: reading is for every authenticated
// host and user, packages are for administrators. SERVER_DATA layers are refused.
//
// One process owns the folder, or several servers of one fleet share it and
// write it in turns (package turn): then what they serve follows the rows.
package depot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/freespace"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
	"github.com/fernwerk/fernwerk/internal/server/depot/chunkstore"
	"github.com/fernwerk/fernwerk/internal/server/depot/dav"
	"github.com/fernwerk/fernwerk/internal/server/depot/turn"
)

// Names in the depot's folder that are nobody's product.
const (
	stagingDir   = ".staging"
	manifestsDir = ".manifests"
	lockFile     = ".lock"
)

// Config is what a depot needs. All fields but Actor must be set.
type Config struct {
	Dir   string // the depot's folder; made when missing
	Cache string // of package chunkstore; may be deleted while the server is down
	depots.Ledger
	Log *slog.Logger
	Now func() time.Time
	// Actor says who sends a request; nil is the depot itself.
	Actor func(*http.Request) methods.Actor
	Peer  Peer // nil: products are copied from nowhere
	// Leases are set where other servers write the folder too.
	Leases *lease.Leases
}

// Depot is one depot folder with its rows. It must be made by [New], and
// answers nothing before [Depot.Serve] or [Depot.Recover] has put in order what
// an earlier process left.
type Depot struct {
	Config
	chunks *chunkstore.Store
	turns  *turn.Turns
	added  chan string // products whose chunk index Serve makes

	ready   chan struct{} // closed when recovered
	recover sync.Mutex

	// swap is held for writing from a tree's swap to its commit.
	swap      sync.RWMutex
	trees     map[string]tree // installed products; guarded by swap
	unsettled []unsettled     // guarded by swap
	etags     etags

	// What tests replace: the end of the process at a step, a file system
	// that cannot swap names, a full disk.
	reached  func(step string)
	exchange func(a, b string) error
	free     func(path string) (uint64, error)
}

// New opens a depot. It changes nothing but to make missing folders.
func New(c Config) (*Depot, error) {
	if err := fleet.ValidHostID(c.DepotID); err != nil {
		return nil, fmt.Errorf("cannot open the depot: %w", err)
	}
	if c.Actor == nil {
		c.Actor = func(*http.Request) methods.Actor { return methods.Actor{Role: methods.Depot, ID: c.DepotID} }
	}
	d := &Depot{
		Config: c, turns: turn.New(c.Leases, c.DepotID), added: make(chan string, 64), ready: make(chan struct{}), trees: map[string]tree{},
		reached: func(string) {}, exchange: atomicfile.Exchange, free: freespace.Of,
	}
	for _, dir := range []string{c.Dir, d.path(stagingDir), d.path(manifestsDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("cannot open the depot: %w", err)
		}
	}
	var err error
	if d.chunks, err = chunkstore.New(c.Cache, d.open, c.Log); err != nil {
		return nil, err
	}
	return d, nil
}

// Serve puts the depot in order, then compresses what was installed, until ctx
// ends. It fails at once if another process serves the folder, unless they share
// it.
func (d *Depot) Serve(ctx context.Context) error {
	release, err := d.turns.Open(d.path(lockFile))
	if err != nil {
		return fmt.Errorf("cannot serve the depot %s: %w", d.Dir, err)
	}
	defer release()
	// A depot server may start while its config server is away.
	err = retry.Do(ctx, retry.Policy{}, func(ctx context.Context) error {
		err := d.Recover(ctx)
		if err == nil || fleet.CodeOf(err) == fleet.Unavailable {
			return err
		}
		return retry.Permanent(err)
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { d.index(ctx) })
	wg.Go(func() {
		d.turns.Follow(ctx, d.putInOrder, d.follow, func(err error) { d.Log.Warn("cannot follow the depot", "err", err) })
	})
	return d.chunks.Serve(ctx)
}

// mendEvery is how often changes are settled that could not be.
const mendEvery = 15 * time.Second

// index makes the chunk index of trees as they are installed. A tree that it
// misses is indexed when the first client asks for it.
func (d *Depot) index(ctx context.Context) {
	mend := time.NewTicker(mendEvery)
	defer mend.Stop()
	for {
		select {
		case <-mend.C:
			if err := d.mend(ctx); err != nil && ctx.Err() == nil {
				d.Log.Warn("a change is not at its end yet", "err", err)
			}
		case product := <-d.added:
			if err := d.indexOne(ctx, product); err != nil && ctx.Err() == nil {
				d.Log.Warn("cannot index product ahead", "product", product, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (d *Depot) indexOne(ctx context.Context, product string) error {
	root, _, err := d.open(ctx, product)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = d.chunks.Add(ctx, product, root)
	return err
}

// Chunks answers GET /v1/depot/{product}/tree and POST /v1/depot/{product}/chunks.
func (d *Depot) Chunks() http.Handler { return d.chunks.Handler() }

// WebDAV serves the folder below /depot, to be read only (package dav).
func (d *Depot) WebDAV() http.Handler {
	inner := dav.Handler(d.Dir, d.etag)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.await(r.Context()) == nil { // else nobody listens any more
			inner.ServeHTTP(w, r)
		}
	})
}

// open finds a product's tree for package chunkstore.
func (d *Depot) open(ctx context.Context, product string) (root *os.Root, digest [sha256.Size]byte, err error) {
	if err := d.await(ctx); err != nil {
		return nil, digest, err
	}
	d.swap.RLock()
	defer d.swap.RUnlock()
	t, ok := d.trees[product]
	if !ok {
		return nil, digest, fleet.Errorf(fleet.NotFound, "cannot find the product %.128q on depot %s", product, d.DepotID)
	}
	root, err = os.OpenRoot(d.path(product))
	if errors.Is(err, os.ErrNotExist) {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find the files of %q on depot %s: %w", product, d.DepotID, err),
			"install the package again")
	}
	return root, t.digest, err
}

// Healthy is nil when the depot is in order and can be asked.
func (d *Depot) Healthy(context.Context) error {
	select {
	case <-d.ready:
		return nil
	default:
		return fleet.Errorf(fleet.Unavailable, "the depot is not in order yet")
	}
}

// await waits until the depot is in order.
func (d *Depot) await(ctx context.Context) error {
	select {
	case <-d.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Depot) path(elem ...string) string {
	return filepath.Join(append([]string{d.Dir}, elem...)...)
}
