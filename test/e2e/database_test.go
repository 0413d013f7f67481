package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// integrity lets SQLite check a database file.
func integrity(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check")
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", path, err)
	}
	defer rows.Close()
	answer := ""
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		answer += line
	}
	if err := rows.Err(); err != nil || answer != "ok" {
		return fmt.Errorf("%s is damaged: %s (%w)", path, answer, errors.Join(err))
	}
	return nil
}

// journalFaults reads the server's journal: each action has one result, which
// came once.
func (j *journey) journalFaults(ctx context.Context) error {
	db, err := sqlite.Open(filepath.Join(j.server.Data, "fernwerk.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := store.Open(ctx, db, time.Now)
	if err != nil {
		return err
	}
	var changes []store.Change
	if err := s.View(ctx, func(tx *store.Tx) error {
		changes, err = tx.Journal(0, fleet.ProductsOnClients.Name, 0)
		return err
	}); err != nil {
		return err
	}
	var errs []error
	for _, p := range j.products {
		key := fleet.ProductsOnClients.Key(fleet.Row{"productId": p.id, "productType": fleet.LocalbootProduct, "clientId": j.host})
		var results []string
		for _, ch := range changes {
			if result := ch.After.Str("actionResult"); ch.Key == key && result != "" && result != string(fleet.None) {
				results = append(results, result)
			}
		}
		if len(results) != 1 || results[0] != fleet.Successful {
			errs = append(errs, fmt.Errorf("the server's journal has these results of %s: %q", p.id, results))
		}
	}
	return errors.Join(errs...)
}
