package about

import (
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func historyMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "journal_getEntries", Roles: []methods.Role{methods.Operator, methods.Reader, methods.Depot}, Do: journalEntries,
			Doc:    "Who changed what, the newest first: of one object, or of all. Secrets are left out.",
			Params: []methods.Param{{Name: "objectId", Optional: true}, {Name: "limit", Optional: true}},
		},
	}
}

// Limits of one look at the journal.
const (
	someEntries = 100
	mostEntries = 10_000
)

func journalEntries(c *methods.Call) (any, error) {
	object, err := c.Text("objectId")
	if err != nil {
		return nil, err
	}
	limit, ok := c.Args["limit"].(int64)
	if !ok || limit <= 0 {
		limit = someEntries
	}
	var changes []store.Change
	err = c.View(func(tx *store.Tx) error {
		changes, err = tx.History(object, int(min(limit, mostEntries)))
		return err
	})
	out := make([]any, len(changes))
	for i, ch := range changes {
		class := c.Class(ch.Class)
		out[i] = map[string]any{
			"revision": ch.Revision, "at": ch.At.Format(time.DateTime), "actor": ch.Actor, "address": ch.Address, "request": ch.Request,
			"class": ch.Class, "object": ch.Key, "operation": ch.Op,
			"before": unsecret(class, ch.Before), "after": unsecret(class, ch.After),
		}
	}
	return out, err
}

// unsecret shows that a secret changed, and not what it is. Of a class that is
// no longer known nothing is shown.
func unsecret(class *fleet.Class, r fleet.Row) any {
	if r == nil || class == nil {
		return nil
	}
	r = r.Clone()
	for _, col := range class.Columns {
		if v, there := r[col.Name]; there && v != nil && v != "" && col.Secret {
			r[col.Name] = "***"
		}
	}
	return r
}
