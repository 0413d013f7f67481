package store

import (
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Look says which part of the history is wanted; the zero value is all of it.
type Look struct {
	Object   string // part of the key, or a host that made the change
	Actor    string // "*" stands for any text
	Class    string
	Op       string
	Since    time.Time // at or after
	Until    time.Time // before
	Revision int64     // only before N of this revision, where it is not 0
	N        int64
	Limit    int // at most; 0 is all
}

// History returns the newest changes first.
func (tx *Tx) History(l Look) ([]Change, error) {
	d := tx.s.db.Dialect
	where, args := " WHERE 1 = 1", []any{}
	and := func(cond string, values ...any) {
		where += " AND (" + cond + ")"
		args = append(args, values...)
	}
	if l.Object != "" {
		and(`c."key" `+d.GlobOp()+` OR r."actor" = ?`, d.Glob("*"+l.Object+"*"), "host "+l.Object)
	}
	if l.Actor != "" {
		and(`r."actor" `+d.GlobOp(), d.Glob(l.Actor))
	}
	if l.Class != "" {
		and(`c."class" = ?`, l.Class)
	}
	if l.Op != "" {
		and(`c."op" = ?`, l.Op)
	}
	if !l.Since.IsZero() {
		and(`r."at" >= ?`, l.Since.UnixMilli())
	}
	if !l.Until.IsZero() {
		and(`r."at" < ?`, l.Until.UnixMilli())
	}
	if l.Revision != 0 {
		and(`c."revision" < ? OR c."revision" = ? AND c."n" < ?`, l.Revision, l.Revision, l.N)
	}
	return tx.changes(where+` ORDER BY c."revision" DESC, c."n" DESC`, l.Limit, args...)
}

// Class finds a class of the store by the name that a change carries; nil if
// this program no longer has it.
func (s *Store) Class(name string) *fleet.Class {
	if t := s.tables[name]; t != nil {
		return t.class
	}
	return nil
}
