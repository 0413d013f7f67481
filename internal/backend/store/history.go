package store

import "github.com/fernwerk/fernwerk/internal/fleet"

// History returns the newest changes first, at most limit of them: those whose
// key holds the object's id, or that the object itself made as a host. An empty
// object is everything.
func (tx *Tx) History(object string, limit int) ([]Change, error) {
	where, args := "", []any{}
	if object != "" {
		d := tx.s.db.Dialect
		where = ` WHERE c."key" ` + d.GlobOp() + ` OR r."actor" = ?`
		args = append(args, d.Glob("*"+object+"*"), "host "+object)
	}
	return tx.changes(where+` ORDER BY c."revision" DESC, c."n" DESC`, limit, args...)
}

// Class finds a class of the store by the name that a change carries; nil if
// this program no longer has it.
func (s *Store) Class(name string) *fleet.Class {
	if t := s.tables[name]; t != nil {
		return t.class
	}
	return nil
}
