package enrolment

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// series counts the names that a rule has given. A number is given once, also if
// its host is deleted: elsewhere something may still go by the name.
type series struct {
	Name string `col:"name,ident"`
	Last int64  `col:"last"`
}

// allSeries is the class of series.
var allSeries = fleet.LocalClass[series]("joinSeries")

// After a restore nobody knows which names were given since the backup: numbers go
// on this much further, and series that are new begin there.
const (
	lostNames  = 1_000
	lostSeries = "restored" // no name of a series: it has no domain
)

// Restored steps over the names that were given since the backup of the rows.
func Restored(ctx context.Context, st *store.Store) error {
	return st.Update(ctx, store.Origin{Actor: "restore"}, func(tx *store.Tx) error {
		rows, err := store.All[series](tx, allSeries, nil)
		if err != nil {
			return err
		}
		all := map[string]int64{lostSeries: 0}
		for _, s := range rows {
			all[s.Name] = s.Last
		}
		for name, last := range all {
			if err := tx.Put(allSeries, allSeries.Encode(series{Name: name, Last: last + lostNames})); err != nil {
				return err
			}
		}
		return nil
	})
}

// triesForName bounds how many hosts that somebody named by hand are stepped over.
const triesForName = 10_000

// nextName is a name that no host has or had, by the rule.
func (e *Enrolment) nextName(tx *store.Tx, nodeType, hostname string) (string, error) {
	rule, domain := e.cfg.Names, e.cfg.Domain
	if !rule.Numbered() {
		id, err := rule.Name(domain, nodeType, hostname, 0)
		if err != nil {
			return "", err
		}
		return id, e.free(tx, id)
	}
	s := series{Name: rule.Series(domain, nodeType, hostname)}
	r, err := tx.ByKey(allSeries, s.Name)
	if err != nil {
		return "", err
	}
	if r == nil { // the first of its series, also on a server that was lost?
		if r, err = tx.ByKey(allSeries, lostSeries); err != nil {
			return "", err
		}
	}
	if r != nil {
		name := s.Name
		allSeries.Decode(r, &s)
		s.Name = name
	}
	for range triesForName {
		s.Last++
		id, err := rule.Name(domain, nodeType, hostname, s.Last)
		if err != nil {
			return "", err
		}
		there, err := tx.ByKey(fleet.Hosts, id)
		if err != nil {
			return "", err
		}
		if there == nil {
			return id, tx.Put(allSeries, allSeries.Encode(s))
		}
	}
	return "", fleet.Errorf(fleet.Exists, "cannot name the host: the next %d names of %s are taken", triesForName, s.Name)
}

// free refuses a name that a host has, or had when it joined.
func (e *Enrolment) free(tx *store.Tx, id string) error {
	there, err := tx.ByKey(fleet.Hosts, id)
	if err != nil {
		return err
	}
	if there != nil {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot join as %s: there is such a host", id),
			"name the machine otherwise; or, if it is that host, have an administrator give it a one-time password: host_updateObject")
	}
	had, err := tx.ByKey(allSeries, id)
	if err != nil {
		return err
	}
	if had != nil {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot join as %s: there was such a host", id),
			"a name is given once; an administrator may give it again: fernwerk host create %s, and join by the one-time password", id)
	}
	return tx.Put(allSeries, allSeries.Encode(series{Name: id, Last: 1}))
}
