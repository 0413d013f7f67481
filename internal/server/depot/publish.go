package depot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/server/depot/chunkstore"
)

// Names in a staging folder.
const (
	treeDir    = "tree" // the tree to publish; after the swap the one that was
	oldDir     = "old"  // the one that was, where names cannot be swapped
	copyDir    = "copy" // of the published tree, for preinst
	controlDir = "OPSI" // the control files
	packFile   = "package.opsi"
)

// publish puts the staged tree in place of the published one. For a reader there
// is always one or the other, but for a moment where the file system cannot
// swap two names.
func (d *Depot) publish(in *depots.Intent) error {
	staged, place := d.path(stagingDir, in.Staging, treeDir), d.path(in.Product)
	if in.HadTree {
		err := d.exchange(staged, place)
		if !errors.Is(err, atomicfile.ErrNotSupported) {
			return err
		}
		if err := d.withdraw(in); err != nil {
			return err
		}
	}
	return move(staged, place)
}

// withdraw takes the published tree away.
func (d *Depot) withdraw(in *depots.Intent) error {
	err := move(d.path(in.Product), d.path(stagingDir, in.Staging, oldDir))
	d.reached("withdrawn")
	return err
}

// restore makes the published tree the one that was there before, from whatever
// point publish or withdraw had reached; it may be repeated. What is left lies in
// staging.
func (d *Depot) restore(ctx context.Context, in *depots.Intent) error {
	if !in.Publishing {
		return nil
	}
	place := d.path(in.Product)
	staged, old := d.path(stagingDir, in.Staging, treeDir), d.path(stagingDir, in.Staging, oldDir)
	hasOld, err := exists(old)
	if err != nil {
		return err
	}
	hasStaged, err := exists(staged)
	if err != nil {
		return err
	}
	hasPlace, err := exists(place)
	if err != nil {
		return err
	}
	switch {
	case hasOld: // taken away, and perhaps another put in place
		if hasPlace {
			if err := move(place, staged); err != nil {
				return err
			}
		}
		return move(old, place)
	case !in.HadTree:
		if hasPlace && !hasStaged {
			return move(place, staged)
		}
		return nil
	case !hasStaged || !hasPlace: // to be removed, and not yet taken away
		return nil
	}
	// Both names exist: which tree is which? Two equal ones may stay.
	swapped, err := d.holds(ctx, place, in)
	if err != nil || !swapped {
		return err
	}
	return d.exchange(staged, place)
}

// holds tells whether a folder is the tree that the intent wants to publish.
func (d *Depot) holds(ctx context.Context, dir string, in *depots.Intent) (bool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	b, err := chunkstore.Build(ctx, root, filesName(in.Product))
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	// A folder that cannot be a tree is not the one that was indexed.
	return err == nil && hex.EncodeToString(b.Index.Digest[:]) == in.Digest, nil
}

// conclude carries out the change that an intent announced, or undoes it when
// err is not nil or finish fails. Readers of chunks are held off meanwhile.
// Nobody's patience ends it: nobody else would repair. done runs once the change
// is committed. What cannot be settled now, because the config server is away in
// the middle, [Depot.Serve] tries again.
func (d *Depot) conclude(ctx context.Context, in *depots.Intent, err error, finish func(context.Context) error, done func()) error {
	ctx = context.WithoutCancel(ctx)
	d.swap.Lock()
	defer d.swap.Unlock()
	if err == nil {
		err = finish(ctx)
	}
	if err != nil {
		if lost := d.turns.Still(ctx); lost != nil {
			return &unsettledError{errors.Join(err, lost)}
		}
		committed, settleErr := d.settle(ctx, in)
		if settleErr != nil {
			d.Log.ErrorContext(ctx, "a change could not be ended; it will be when the database answers, or at the next start", "product", in.Product, "err", settleErr)
			d.unsettled = append(d.unsettled, unsettled{*in, done})
			return &unsettledError{errors.Join(err, settleErr)}
		}
		if !committed {
			return err
		}
		d.Log.WarnContext(ctx, "a change was committed although the database reported an error", "product", in.Product, "err", err)
	}
	done()
	return nil
}

// unsettled is a change of which nobody knows whether it was committed.
type unsettled struct {
	intent depots.Intent
	done   func() // nil where it cannot have been
}

// begin locks the product. Where nobody knows whether that has arrived, it is
// undone later.
func (d *Depot) begin(ctx context.Context, book depots.Book, in *depots.Intent, force bool, needs []depots.Need) error {
	err := book.Begin(ctx, in, force, needs)
	switch fleet.CodeOf(err) {
	case fleet.Unavailable, fleet.Internal:
		if err != nil {
			d.swap.Lock()
			defer d.swap.Unlock()
			d.unsettled = append(d.unsettled, unsettled{intent: *in})
		}
	}
	return err
}

// mend settles what could not be settled. Where the folder is shared, whoever
// has the turn puts everything in order, and the rows say how each change ended.
func (d *Depot) mend(ctx context.Context) error {
	d.swap.RLock()
	nothing := len(d.unsettled) == 0
	d.swap.RUnlock()
	if nothing {
		return nil
	}
	if d.turns.Shared() {
		return d.turns.Do(ctx, d.putInOrder, func(context.Context) error {
			d.swap.Lock()
			defer d.swap.Unlock()
			d.unsettled = nil
			return nil
		})
	}
	// Readers are not held off for a config server that does not answer.
	if _, _, err := d.Ledger.Self().States(ctx); err != nil {
		return err
	}
	d.swap.Lock()
	defer d.swap.Unlock()
	left := d.unsettled[:0]
	var errs []error
	for _, u := range d.unsettled {
		committed, err := d.settle(ctx, &u.intent)
		switch {
		case err != nil:
			left = append(left, u)
			errs = append(errs, err)
			continue
		case committed && u.done != nil:
			u.done()
		}
		d.Log.Info("a change has come to its end", "product", u.intent.Product, "committed", committed)
		d.clear(u.intent.Staging)
	}
	d.unsettled = left
	return errors.Join(errs...)
}

// unsettledError says that the intent may still stand: its staging folder, which
// may hold the only good tree, must stay.
type unsettledError struct{ error }

func (e *unsettledError) Unwrap() error { return e.error }

// tidy removes what a change leaves behind once it has ended, err being how: its
// staging folder and the manifests of trees that are gone.
func (d *Depot) tidy(in *depots.Intent, before string, err error) {
	if _, unsettled := errors.AsType[*unsettledError](err); unsettled {
		return // Recover does it
	}
	d.clear(in.Staging)
	d.forget(in.Product, before)
	d.forget(in.Product, in.Digest)
	d.reached("cleaned")
}

// settle brings an intent to its end: if it still stands, everything becomes as
// it was. It tells whether the change had been committed.
func (d *Depot) settle(ctx context.Context, in *depots.Intent) (committed bool, err error) {
	stands, err := d.Ledger.Self().Stands(ctx, *in)
	if err != nil {
		return false, err
	}
	if stands {
		if err := d.restore(ctx, in); err != nil {
			return false, fmt.Errorf("cannot put back the tree of %q: %w", in.Product, err)
		}
		if err := d.Ledger.Self().Undo(ctx, *in); err != nil {
			return false, err
		}
	}
	return !stands, nil
}

// clear removes a staging folder. What cannot be removed now is at next start.
func (d *Depot) clear(staging string) {
	if err := os.RemoveAll(d.path(stagingDir, staging)); err != nil {
		d.Log.Warn("cannot remove staging folder", "folder", staging, "err", err)
	}
}

// move renames a folder and makes both ends durable.
func move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(filepath.Dir(to)), atomicfile.SyncDir(filepath.Dir(from)))
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// filesName is the seed's list in a product's folder.
func filesName(product string) string { return product + ".files" }
