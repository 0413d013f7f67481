// Package replica lets a client hold a working copy of its part of the fleet,
// and brings what it changed back to the server.
//
// A pull is one round trip: the client says which position of the server's
// history it has seen and which scope it holds, and gets what changed since,
// all of what newly entered its scope, and the names of what is gone. After any
// interleaving of changes and pulls, an incremental pull gives what a full one
// gives. A position that the server does not know (another database, a restored
// backup, a trimmed journal) is answered in full.
//
// A push is one round trip as well: every object that the client changed, as it
// was in its snapshot and as it is now. The server merges all of it in one
// transaction by the rules of package merge and answers with the decisions and
// its resulting rows, which the client takes over. A push that is repeated
// because its answer was lost is recognised, and merged once.
//
// The package is the common part of both ends; it knows no network.
package replica

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Gate is what the caller of a pull or push may see and write.
type Gate interface {
	Visible(tx *store.Tx, class *fleet.Class, rows []fleet.Row) ([]fleet.Row, error)
	MayWrite(class *fleet.Class, row fleet.Row) error
}

// maxIncrement is how many changed objects are sent one by one; beyond it a
// full answer is cheaper to make.
const maxIncrement = 20_000

// PullRequest says what a client has.
type PullRequest struct {
	Position store.Position `json:"position"`
	Scope    Scope          `json:"scope"`
	// Merged is where the client's last push stands; zero: nowhere. A backup
	// from before it may still know Position.
	Merged store.Position `json:"merged"`
	// Background says that no action is processed right behind it. Seed A: a
	// request "always" alone is no reason for a replication then.
	Background bool `json:"background,omitempty"`
}

// PullAnswer is what it lacks.
type PullAnswer struct {
	Position store.Position         `json:"position"`
	Scope    Scope                  `json:"scope"`
	Full     bool                   `json:"full"` // whatever is not in Rows is gone
	Rows     map[string][]fleet.Row `json:"rows"` // by class
	Gone     map[string][]string    `json:"gone"` // keys by class
}

// Pull answers a client's pull.
func Pull(tx *store.Tx, gate Gate, client, depot string, req PullRequest) (PullAnswer, error) {
	scope, err := ScopeOf(tx, client, depot, req.Background)
	if err != nil {
		return PullAnswer{}, err
	}
	a := PullAnswer{Scope: scope, Rows: map[string][]fleet.Row{}, Gone: map[string][]string{}}
	if a.Position, err = tx.Position(); err != nil {
		return a, err
	}
	known, err := tx.Knows(req.Position)
	if err == nil && known && req.Merged != (store.Position{}) {
		known, err = tx.Knows(req.Merged)
	}
	if err != nil {
		return a, err
	}
	var touched map[string][]string
	if known && req.Scope.Client == scope.Client && req.Scope.Depot == scope.Depot && req.Scope.Server == scope.Server {
		if touched, known, err = tx.Touched(req.Position.Revision, maxIncrement); err != nil {
			return a, err
		}
	} else {
		known = false
	}
	if !known {
		a.Full = true
		return a, a.addParts(tx, gate, scope, nil)
	}
	if err := a.addTouched(tx, gate, scope, touched); err != nil {
		return a, err
	}
	return a, a.addParts(tx, gate, scope, req.Scope.Products)
}

// addParts adds whole parts of the scope: all of them if have is nil, else
// those of products that the client does not have yet.
func (a *PullAnswer) addParts(tx *store.Tx, gate Gate, scope Scope, have []string) error {
	if have != nil {
		held := map[string]bool{}
		for _, id := range have {
			held[id] = true
		}
		entering := []string{}
		for _, id := range scope.Products {
			if !held[id] {
				entering = append(entering, id)
			}
		}
		scope.Products = entering
	}
	for _, p := range scope.Parts() {
		if have != nil && !p.ByProduct {
			continue
		}
		rows, err := tx.Select(p.Class, p.Filter)
		if err != nil {
			return err
		}
		if err := a.add(tx, gate, p.Class, rows); err != nil {
			return err
		}
	}
	return nil
}

func (a *PullAnswer) addTouched(tx *store.Tx, gate Gate, scope Scope, touched map[string][]string) error {
	holds, err := scope.holder()
	if err != nil {
		return err
	}
	for _, c := range travels() {
		var rows []fleet.Row
		for _, key := range touched[c.Name] {
			if !holds(c, c.IdentOf(key)) {
				continue // another client's; and what left the scope, the client sees by itself
			}
			r, err := tx.ByKey(c, key)
			if err != nil {
				return err
			}
			if r != nil {
				rows = append(rows, r)
			} else {
				a.Gone[c.Name] = append(a.Gone[c.Name], key)
			}
		}
		if err := a.add(tx, gate, c, rows); err != nil {
			return err
		}
	}
	return nil
}

func (a *PullAnswer) add(tx *store.Tx, gate Gate, c *fleet.Class, rows []fleet.Row) error {
	rows, err := gate.Visible(tx, c, rows)
	if err == nil && len(rows) > 0 {
		a.Rows[c.Name] = append(a.Rows[c.Name], rows...)
	}
	return err
}

// Next is what to ask after the answer was applied. What was passed over comes
// again: the position stays, and what only now entered the scope is not claimed.
func (req PullRequest) Next(a PullAnswer, whole bool) PullRequest {
	next := PullRequest{Position: a.Position, Scope: a.Scope}
	if whole {
		return next
	}
	if next.Position = req.Position; a.Full {
		next.Position = store.Position{}
	}
	next.Scope.Products = []string{}
	for _, id := range a.Scope.Products {
		if slices.Contains(req.Scope.Products, id) {
			next.Scope.Products = append(next.Scope.Products, id)
		}
	}
	return next
}

// Apply makes a client's working copy what the answer says. keep protects
// objects that were changed here and are not yet sent: a pull never clears
// unsent rows. It says whether nothing was passed over for that. It runs in an
// Update whose origin is [store.Replica].
func Apply(tx *store.Tx, a PullAnswer, keep func(class, key string) bool) (whole bool, err error) {
	holds, err := a.Scope.holder()
	if err != nil {
		return false, err
	}
	states, err := tx.Select(fleet.ProductsOnClients, nil)
	if err != nil {
		return false, err
	}
	unsent := map[string]bool{} // products; the version under which they were changed stays with them
	for _, r := range states {
		if keep(fleet.ProductsOnClients.Name, fleet.ProductsOnClients.Key(r)) {
			unsent[r.Str("productId")] = true
		}
	}
	whole = true
	passOver := func(c *fleet.Class, key string, r fleet.Row) bool {
		kept := keep(c.Name, key) || c == fleet.ProductsOnDepots && unsent[r.Str("productId")]
		whole = whole && !kept
		return kept
	}
	for _, c := range travels() {
		arrived := map[string]bool{}
		for _, r := range a.Rows[c.Name] {
			row, err := c.Check(r, fleet.Creating)
			if err != nil {
				return false, err
			}
			key := c.Key(row)
			arrived[key] = true
			if passOver(c, key, row) {
				continue
			}
			if err := tx.Put(c, row); err != nil {
				return false, err
			}
		}
		gone := map[string]bool{}
		for _, key := range a.Gone[c.Name] {
			gone[key] = true
		}
		held, err := tx.Select(c, nil)
		if err != nil {
			return false, err
		}
		for _, r := range held {
			key := c.Key(r)
			if arrived[key] || holds(c, r) && !gone[key] && !a.Full || passOver(c, key, r) {
				continue
			}
			if err := tx.RemoveKey(c, key); err != nil {
				return false, err
			}
		}
	}
	return whole, nil
}
