// Package journal shows the store's journal as what it is besides: the audit
// log. Its method is a row of the method table.
//
// Who may look is narrowed as rows are: somebody bound to host groups sees the
// history of the hosts in them, and what concerns accounts (their changes,
// logins, refusals) is the administrators' and each one's own.
package journal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	optional := func(names ...string) (ps []methods.Param) {
		for _, n := range names {
			ps = append(ps, methods.Param{Name: n, Optional: true})
		}
		return ps
	}
	return methods.Group{Methods: []*methods.Method{{
		Name: "journal_getEntries", Roles: []methods.Role{methods.Operator, methods.Reader, methods.Depot}, Do: entries,
		Doc: "Who changed what, the newest first, and who logged in or failed to: of one object, or of all. Secrets are left out. " +
			"before is the place of the last entry of an earlier answer: what is older follows.",
		Params: optional("objectId", "limit", "actor", "since", "until", "class", "operation", "before"),
	}}}
}

// AccountClass is the class under which accounts stand in the journal: their
// changes, logins and refusals.
const AccountClass = "account"

// Limits of one answer.
const (
	someEntries = 100
	mostEntries = 10_000
	page        = 2_000
)

func look(c *methods.Call) (l store.Look, limit int, err error) {
	n, ok := c.Args["limit"].(int64)
	if !ok || n <= 0 {
		n = someEntries
	}
	var since, until, before string
	for name, to := range map[string]*string{
		"objectId": &l.Object, "actor": &l.Actor, "class": &l.Class, "operation": &l.Op, "since": &since, "until": &until, "before": &before,
	} {
		if *to, err = c.Text(name); err != nil {
			return l, 0, err
		}
	}
	l.Object = strings.ToLower(l.Object)
	for name, at := range map[string]*time.Time{since: &l.Since, until: &l.Until} {
		if name == "" {
			continue
		}
		if *at, err = moment(name); err != nil {
			return l, 0, fleet.Errorf(fleet.Invalid, "cannot call %s: %q is no time: write 2006-01-02 or 2006-01-02 15:04:05, in UTC", c.Method.Name, name)
		}
	}
	if before != "" {
		revision, order, _ := strings.Cut(before, ".")
		l.Revision, err = strconv.ParseInt(revision, 10, 64)
		if err == nil && order != "" {
			l.N, err = strconv.ParseInt(order, 10, 64)
		}
		if err != nil || l.Revision < 1 {
			return l, 0, fleet.Errorf(fleet.Invalid, "cannot call %s: %q is no place in the journal", c.Method.Name, before)
		}
	}
	return l, int(min(n, mostEntries)), nil
}

func moment(text string) (time.Time, error) {
	for _, form := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}

func entries(c *methods.Call) (any, error) {
	l, limit, err := look(c)
	if err != nil {
		return nil, err
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		shown, err := shownTo(c, tx)
		if err != nil {
			return err
		}
		for len(out) < limit {
			l.Limit = min(page, limit)
			changes, err := tx.History(l)
			if err != nil {
				return err
			}
			for _, ch := range changes {
				class := c.Class(ch.Class)
				if len(out) < limit && shown(class, ch) {
					out = append(out, entry(class, ch))
				}
			}
			if len(changes) < l.Limit {
				return nil
			}
			last := changes[len(changes)-1]
			l.Revision, l.N = last.Revision, last.N
		}
		return nil
	})
	return out, err
}

// shownTo tells which entries the caller may see.
func shownTo(c *methods.Call, tx *store.Tx) (func(*fleet.Class, store.Change) bool, error) {
	if c.Actor.Role == methods.Administrator || c.Actor.Role == methods.Depot {
		return func(*fleet.Class, store.Change) bool { return true }, nil
	}
	inScope, bound, err := c.InScope(tx)
	if err != nil {
		return nil, err
	}
	return func(class *fleet.Class, ch store.Change) bool {
		switch {
		case ch.Class == AccountClass || class == fleet.Users:
			return ch.Key == c.Actor.ID
		case !bound:
			return true
		}
		host := hostOf(class, ch)
		return host != "" && inScope(host)
	}, nil
}

// hostOf is the host that an entry is about, "" if there is none.
func hostOf(class *fleet.Class, ch store.Change) string {
	if class == nil {
		return ""
	}
	of := class.HostColumn()
	if class == fleet.Hosts {
		of = "id"
	}
	if of == "" {
		return ""
	}
	if ident := class.IdentOf(ch.Key); !class.Open && class.Column(of).Ident {
		if ident.Str("groupType") == fleet.ProductGroup {
			return "" // a product may have the name of a host
		}
		return ident.Str(of)
	}
	if ch.After != nil {
		return ch.After.Str(of)
	}
	return ch.Before.Str(of)
}

func entry(class *fleet.Class, ch store.Change) map[string]any {
	return map[string]any{
		"revision": ch.Revision, "place": fmt.Sprintf("%d.%d", ch.Revision, ch.N), "at": ch.At.Format(time.DateTime),
		"actor": ch.Actor, "address": ch.Address, "request": ch.Request,
		"class": ch.Class, "object": ch.Key, "operation": ch.Op,
		"before": unsecret(class, ch, ch.Before), "after": unsecret(class, ch, ch.After),
	}
}

// unsecret shows that a secret changed, and not what it is. Of a class that is
// no longer known nothing is shown; a note of an account has no secrets.
func unsecret(class *fleet.Class, ch store.Change, r fleet.Row) any {
	if r == nil || class == nil && ch.Class != AccountClass {
		return nil
	}
	r = r.Clone()
	if class != nil {
		for _, col := range class.Columns {
			if v, there := r[col.Name]; there && v != nil && v != "" && col.Secret {
				r[col.Name] = "***"
			}
		}
	}
	return r
}
