package replica

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/merge"
)

// MaxPush is how many objects one push may hold: far more than one client's
// own, so that reaching it is a fault to look at.
const MaxPush = 20_000

// Pushed is an object that a client changed.
type Pushed struct {
	Class string    `json:"class"`
	Base  fleet.Row `json:"base"` // in the snapshot; nil: it was not there
	Mine  fleet.Row `json:"mine"` // in the working copy; nil: deleted
}

// PushRequest brings what a client changed.
type PushRequest struct {
	// ID names this content: a repeated request has the same, another has not.
	ID      string   `json:"id"`
	Changes []Pushed `json:"changes"`
	// Versions are those of the products on the depot that the client saw in
	// its snapshot, as "productVersion-packageVersion".
	Versions map[string]string `json:"versions"`
	// Merged is where the client's last push stands, if it pulled nothing since.
	Merged store.Position `json:"merged"`
}

// Merged is the outcome for one object.
type Merged struct {
	Class   string                 `json:"class"`
	Key     string                 `json:"key"`
	Row     fleet.Row              `json:"row"` // the server's now; nil: it has none
	Op      merge.Op               `json:"op"`
	Reason  string                 `json:"reason"`
	Columns []merge.ColumnDecision `json:"columns"`
}

// PushAnswer is what became of it.
type PushAnswer struct {
	Repeated bool     `json:"repeated"` // this push was merged before
	Results  []Merged `json:"results"`
	// Position is one of the server's that has this push behind it.
	Position store.Position `json:"position"`
	// Forked says that the server no longer has the client's last push behind
	// it: it was restored from a backup. The next pull must be a full one.
	Forked bool `json:"forked"`
}

// Received remembers each client's last push, so that a repeated one is merged
// once.
type Received struct {
	Client string `col:"client,ident"`
	ID     string `col:"push"`
}

// Receipts is the class of Received, for [store.Open].
var Receipts = fleet.LocalClass[Received]("replicaReceipt")

// Push merges a client's changes, in an Update. If that comes to a position, it
// is the answer's.
func Push(tx *store.Tx, gate Gate, client, depot string, req PushRequest) (PushAnswer, error) {
	var a PushAnswer
	if len(req.Changes) > MaxPush {
		return a, fleet.Errorf(fleet.TooLarge, "cannot take %d changes at once: the limit is %d", len(req.Changes), MaxPush)
	}
	last, err := tx.ByKey(Receipts, Receipts.Key(fleet.Row{"client": client}))
	if err != nil {
		return a, err
	}
	if a.Position, err = tx.Position(); err != nil {
		return a, err
	}
	if req.Merged != (store.Position{}) {
		known, err := tx.Knows(req.Merged)
		if err != nil {
			return a, err
		}
		a.Forked = !known
	}
	a.Repeated = req.ID != "" && last.Str("push") == req.ID
	versions, err := versionsOn(tx, depot)
	if err != nil {
		return a, err
	}
	for _, p := range req.Changes {
		m, err := pushOne(tx, gate, client, p, a.Repeated, func(product string) bool {
			known, held := req.Versions[product]
			return held && known != versions[product] // of a product that it never held nothing changed meanwhile
		})
		if err == nil {
			m.Row, err = visible(tx, gate, m)
		}
		if err != nil {
			return a, err
		}
		a.Results = append(a.Results, m)
	}
	return a, tx.Put(Receipts, fleet.Row{"client": client, "push": req.ID})
}

// visible is a result's row as the client may see it: nil for another host's.
func visible(tx *store.Tx, gate Gate, m Merged) (fleet.Row, error) {
	if m.Row == nil {
		return nil, nil
	}
	rows, err := gate.Visible(tx, classOf(m.Class), []fleet.Row{m.Row})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func pushOne(tx *store.Tx, gate Gate, client string, p Pushed, repeated bool, moved func(product string) bool) (Merged, error) {
	m := Merged{Class: p.Class}
	c := classOf(p.Class)
	if c == nil {
		return m, fleet.Errorf(fleet.Denied, "cannot take a change of %q: objects of this class do not travel", p.Class)
	}
	base, err := checked(c, p.Base)
	if err != nil {
		return m, err
	}
	mine, err := checked(c, p.Mine)
	if err != nil {
		return m, err
	}
	ident := mine
	if ident == nil {
		ident = base
	}
	if ident == nil {
		return m, fleet.Errorf(fleet.Invalid, "cannot take a change of a %s that neither was nor is", c.Name)
	}
	m.Key = c.Key(ident)
	if base != nil && c.Key(base) != m.Key {
		return m, fleet.Errorf(fleet.Invalid, "cannot take a change of %s %q: its identity changed", c.Name, c.IdentString(ident))
	}
	theirs, err := tx.ByKey(c, m.Key)
	if err != nil {
		return m, err
	}
	if err := gate.MayWrite(c, identity(c, ident)); err != nil {
		m.Row, m.Op, m.Reason = theirs, merge.Keep, err.Error()
		return m, nil // the client's copy goes back to the server's row
	}
	if repeated {
		m.Row, m.Op, m.Reason = theirs, merge.Keep, "merged already, when this was sent before"
		return m, nil
	}
	product := ident.Str("productId")
	d := merge.Merge(c, base, mine, theirs, product != "" && moved(product))
	m.Op, m.Reason, m.Columns, m.Row = d.Op, d.Reason, d.Columns, theirs
	switch d.Op {
	case merge.Put:
		if err := tx.Put(c, d.Row); err != nil {
			return m, err
		}
		m.Row, err = tx.ByKey(c, m.Key)
	case merge.Delete:
		err, m.Row = tx.RemoveKey(c, m.Key), nil
	}
	return m, err
}

func identity(c *fleet.Class, r fleet.Row) fleet.Row {
	id := fleet.Row{}
	for _, col := range c.Ident() {
		id[col.Name] = r[col.Name]
	}
	return id
}

func checked(c *fleet.Class, r fleet.Row) (fleet.Row, error) {
	if r == nil {
		return nil, nil
	}
	return c.Check(r, fleet.Updating)
}

func classOf(name string) *fleet.Class {
	classes := fleet.Classes()
	i := slices.IndexFunc(classes, func(c *fleet.Class) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return classes[i]
}

// versionsOn are the products of a depot with their versions.
func versionsOn(tx *store.Tx, depot string) (map[string]string, error) {
	rows, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"depotId": depot})
	out := map[string]string{}
	for _, p := range rows {
		out[string(p.ProductID)] = p.ProductVersion + "-" + p.PackageVersion
	}
	return out, err
}

// Collect makes a push of what a client's working copy changed since mark, its
// own revision that the server knows, up to another of its revisions. The same
// two give the same push, whatever was changed since.
func Collect(tx *store.Tx, depot string, mark, upTo int64) (PushRequest, error) {
	var req PushRequest
	tracked, err := tx.Between(mark, upTo)
	if err != nil {
		return req, err
	}
	if len(tracked) > MaxPush {
		return req, fleet.Errorf(fleet.TooLarge, "cannot send %d changes at once: the limit is %d", len(tracked), MaxPush)
	}
	for _, t := range tracked {
		req.Changes = append(req.Changes, Pushed{Class: t.Class.Name, Base: t.Base, Mine: t.Mine})
	}
	if req.ID, err = tx.Tag(upTo); err != nil {
		return req, err
	}
	req.Versions, err = versionsOn(tx, depot)
	return req, err
}

// Settle takes the server's rows over after a push, except for objects that
// were changed again meanwhile, and says whether there were none. It runs in an
// Update whose origin is [store.Replica].
func Settle(tx *store.Tx, a PushAnswer, changedAgain func(class, key string) bool) (whole bool, err error) {
	whole = true
	for _, m := range a.Results {
		c := classOf(m.Class)
		if c == nil {
			continue
		}
		if changedAgain(m.Class, m.Key) {
			whole = false
			continue
		}
		if m.Row == nil {
			err = tx.RemoveKey(c, m.Key)
		} else {
			err = tx.Put(c, m.Row)
		}
		if err != nil {
			return false, err
		}
	}
	return whole, nil
}
