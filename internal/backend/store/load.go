package store

import (
	"context"
	"fmt"
	"io"

	"github.com/fernwerk/fernwerk/internal/backend/store/dump"
)

// Used tells whether anything was ever written here.
func (s *Store) Used(ctx context.Context) (used bool, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		pos, err := tx.Position()
		used = pos.Revision > 0
		return err
	})
	return used, err
}

// Load replaces all rows by those of a dump, in one transaction. The history
// gets another name (epoch): whoever knows a position of the former one, or of
// the database that was dumped, notices that it is not this one's.
func (s *Store) Load(ctx context.Context, r io.Reader) error {
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return s.failed("write to", err)
	}
	defer tx.Rollback()
	if err := dump.Read(ctx, tx, s.db.Dialect, format, token(), r); err != nil {
		return fmt.Errorf("cannot load the dump: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("cannot load the dump: %w", err)
	}
	s.feed.wakeAll()
	return nil
}
