// Package depots holds what the fleet knows of its depots: which tree of a
// product each has, what is being installed there, which clients a depot serves
// and which others could serve them, and the methods by which opsi's tools have
// a depot server install packages.
//
// # Changing a depot
//
// A depot's folder belongs to one process, its rows to the config server. Where
// the two are the same program the methods depotTree_... are called in it, and
// over the wire where they are not: a depot server does with them exactly what
// the config server does for its own depot ([Ledger]).
//
//	begin     writes the intent and locks the product's rows on the depot, if the
//	          packages that it needs are there; two changes of a product exclude
//	          each other by the intent
//	announce  says that from now on trees may be moved, and which one will stand
//	commit    in one transaction: product, properties, dependencies, the new row
//	          on the depot instead of the old ones, the depot's property values,
//	          the tree's digest, and the intent is gone
//	drop      the same for a product that leaves the depot
//	undo      the intent is gone and the locks are as they were
//
// The commit decides: as long as the intent stands, nothing has happened. A
// depot may change its own rows only.
package depots

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Tree says which tree a depot has of a product: what ProductOnDepot has no
// place for.
type Tree struct {
	DepotID        string `col:"depotId,ident"`
	Product        string `col:"product,ident"`
	ProductVersion string `col:"productVersion"`
	PackageVersion string `col:"packageVersion"`
	Digest         string `col:"digest"` // SHA-256 of the manifest v1, hexadecimal
	Files          int64  `col:"files"`
	Bytes          int64  `col:"bytes"`
	Length         int64  `col:"length"`  // of the manifest v1, in bytes; 0 if an earlier version wrote the row
	Indexed        int64  `col:"indexed"` // when the digest was taken, in ns since 1970
}

// Intent stands while a product is being installed or removed.
type Intent struct {
	DepotID string `col:"depotId,ident"`
	Product string `col:"product,ident"`
	Staging string `col:"staging"` // name of its folder on the depot
	// Digest is that of the tree to publish, "" before it is known and where
	// there is none. Without Publishing no tree has been moved.
	Digest     string `col:"digest"`
	Publishing bool   `col:"publishing"`
	HadTree    bool   `col:"hadTree"` // there was a published tree before
	// HadLock: an administrator had locked the product, and forced us.
	HadLock bool   `col:"hadLock"`
	Since   string `col:"since,time"`
}

// The classes of Tree and Intent.
var (
	Trees   = fleet.LocalClass[Tree]("depotTree")
	Intents = fleet.LocalClass[Intent]("depotInstall")
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{
		Methods: slices.Concat(treeMethods(), clientMethods(), serverMethods()),
		Classes: []*fleet.Class{Trees, Intents},
	}
}

func treeMethods() []*methods.Method {
	depot := []methods.Role{methods.Depot}
	intent, by := methods.Param{Name: "intent"}, methods.Param{Name: "by", Optional: true}
	return []*methods.Method{
		{
			Name: "depotTree_getStates", Roles: []methods.Role{methods.Operator, methods.Reader, methods.Depot}, Do: states,
			Doc:    "The trees that a depot has, and what is being changed there: {trees, intents}.",
			Params: []methods.Param{{Name: "depotId"}},
		},
		{
			Name: "depotTree_begin", Roles: depot, Do: begin, Writes: true,
			Doc:    "Locks a product on a depot for a change; returns the intent.",
			Params: []methods.Param{intent, {Name: "force", Optional: true}, {Name: "depends", Optional: true}, by},
		},
		{
			Name: "depotTree_announce", Roles: depot, Do: announce, Writes: true,
			Doc:    "Says that the depot is about to move trees.",
			Params: []methods.Param{intent, by},
		},
		{
			Name: "depotTree_commit", Roles: depot, Do: commit, Writes: true,
			Doc:    "Ends a change: the product is on the depot. Returns the version that it replaces.",
			Params: []methods.Param{intent, {Name: "change"}, by},
		},
		{
			Name: "depotTree_drop", Roles: depot, Do: drop, Writes: true,
			Doc:    "Ends a change: the product is gone from the depot.",
			Params: []methods.Param{intent, by},
		},
		{
			Name: "depotTree_undo", Roles: depot, Do: undo, Writes: true,
			Doc:    "Ends a change that was not carried out.",
			Params: []methods.Param{intent, by},
		},
		{
			Name: "depot_getCertificate", Roles: depot, Do: certificate,
			Doc:    "Signs the certificate that a depot server shows to its clients; request and answer are PEM.",
			Params: []methods.Param{{Name: "depotId"}, {Name: "request"}},
		},
	}
}

// own refuses what a depot server asks for another depot.
func own(c *methods.Call, depot string) error {
	if c.Actor.Role == methods.Depot && depot != c.Actor.ID {
		return fleet.Errorf(fleet.Denied, "cannot call %s for %s: depot %s changes its own products only", c.Method.Name, depot, c.Actor.ID)
	}
	by, err := c.Text("by")
	if err == nil && by != "" && c.Actor.Role == methods.Depot {
		c.Actor.ID += " for " + by[:min(len(by), 300)] // for the journal; the right is the depot's
	}
	return err
}

// record reads an argument as a row of a class.
func record(c *methods.Call, class *fleet.Class, name string, dst any) error {
	rows, err := c.Rows(name)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s wants one object", c.Method.Name, name)
	}
	row, err := class.Check(rows[0], fleet.Creating)
	if err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
	}
	class.Decode(row, dst)
	return nil
}

// intentOf is the intent that a call is about.
func intentOf(c *methods.Call) (in Intent, err error) {
	if err = record(c, Intents, "intent", &in); err == nil {
		err = own(c, in.DepotID)
	}
	if err == nil && (fleet.ValidHostID(in.DepotID) != nil || fleet.ValidProductID(in.Product) != nil) {
		err = fleet.Errorf(fleet.Invalid, "cannot call %s: the intent names no product on a depot", c.Method.Name)
	}
	return in, err
}

func states(c *methods.Call) (any, error) {
	depot, err := c.Text("depotId")
	if err != nil {
		return nil, err
	}
	var trees, intents []fleet.Row
	err = c.View(func(tx *store.Tx) (err error) {
		if trees, err = tx.Select(Trees, fleet.Filter{"depotId": depot}); err == nil {
			intents, err = tx.Select(Intents, fleet.Filter{"depotId": depot})
		}
		return err
	})
	return map[string]any{"trees": trees, "intents": intents}, err
}

func begin(c *methods.Call) (any, error) {
	in, err := intentOf(c)
	if err != nil {
		return nil, err
	}
	force := c.Flag("force", false)
	needs, err := needsOf(c)
	if err != nil {
		return nil, err
	}
	err = c.Update(func(tx *store.Tx) error {
		if !force {
			if err := meets(tx, in.DepotID, needs); err != nil {
				return err
			}
		}
		if err := Unchanged(tx, in.DepotID, in.Product); err != nil {
			return err
		}
		rows, err := onDepot(tx, in.DepotID, in.Product)
		if err != nil {
			return err
		}
		in.HadLock = slices.ContainsFunc(rows, func(r fleet.ProductOnDepot) bool { return r.Locked })
		if in.HadLock && !force {
			return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot change %q on depot %s: it is locked", in.Product, in.DepotID),
				"somebody locked the product by hand: fernwerk depot unlock %s %s; or force the installation", in.DepotID, in.Product)
		}
		in.Since = tx.Stamp()
		if err := tx.Put(Intents, Intents.Encode(in)); err != nil {
			return err
		}
		return setLocked(tx, rows, true)
	})
	return Intents.Encode(in), err
}

// Unchanged refuses a product that is being installed or removed.
func Unchanged(tx *store.Tx, depot, product string) error {
	row, err := tx.ByKey(Intents, Intents.Key(fleet.Row{"depotId": depot, "product": product}))
	if err != nil || row == nil {
		return err
	}
	return Busy(depot, product, row.Str("since"))
}

// Busy is the error of a product that is being changed.
func Busy(depot, product, since string) error {
	return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot change %q on depot %s: it is being changed since %s UTC", product, depot, since),
		"wait until that has ended, then try again")
}

func onDepot(tx *store.Tx, depot, product string) ([]fleet.ProductOnDepot, error) {
	return store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": product, "depotId": depot})
}

func setLocked(tx *store.Tx, rows []fleet.ProductOnDepot, locked bool) error {
	for _, r := range rows {
		r.Locked = locked
		if err := tx.Put(fleet.ProductsOnDepots, fleet.ProductsOnDepots.Encode(r)); err != nil {
			return err
		}
	}
	return nil
}

// change has fn work on an intent that stands.
func change(c *methods.Call, fn func(tx *store.Tx, in Intent) error) error {
	in, err := intentOf(c)
	if err != nil {
		return err
	}
	return standing(c, in, fn)
}

func standing(c *methods.Call, in Intent, fn func(tx *store.Tx, in Intent) error) error {
	return c.Update(func(tx *store.Tx) error {
		row, err := tx.ByKey(Intents, Intents.Key(Intents.Encode(in)))
		if err == nil && (row == nil || row.Str("staging") != in.Staging) {
			err = fleet.Errorf(fleet.Conflict, "cannot call %s: the change of %q on depot %s does not stand any more", c.Method.Name, in.Product, in.DepotID)
		}
		if err != nil {
			return err
		}
		return fn(tx, in)
	})
}

func announce(c *methods.Call) (any, error) {
	return nil, change(c, func(tx *store.Tx, in Intent) error {
		in.Publishing = true
		return tx.Put(Intents, Intents.Encode(in))
	})
}

func undo(c *methods.Call) (any, error) {
	return nil, change(c, func(tx *store.Tx, in Intent) error {
		rows, err := onDepot(tx, in.DepotID, in.Product)
		if err != nil {
			return err
		}
		if err := setLocked(tx, rows, in.HadLock); err != nil {
			return err
		}
		return tx.Remove(Intents, Intents.Encode(in))
	})
}

func drop(c *methods.Call) (any, error) {
	return nil, change(c, func(tx *store.Tx, in Intent) error {
		if err := dropProduct(tx, in); err != nil {
			return err
		}
		return follow(c, tx)
	})
}

// follow has what the server signs for its depots follow their trees.
func follow(c *methods.Call, tx *store.Tx) error {
	if t := c.Ports().Trust; t != nil {
		return t.Follow(tx)
	}
	return nil
}

func dropProduct(tx *store.Tx, in Intent) error {
	rows, err := onDepot(tx, in.DepotID, in.Product)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := dropVersion(tx, r); err != nil {
			return err
		}
	}
	if _, err := tx.Delete(fleet.ProductPropertyStates, fleet.Filter{"productId": in.Product, "objectId": in.DepotID}); err != nil {
		return err
	}
	if err := tx.Remove(Trees, fleet.Row{"depotId": in.DepotID, "product": in.Product}); err != nil {
		return err
	}
	return tx.Remove(Intents, Intents.Encode(in))
}
