// Package tables tells which tables and columns a database has, on both engines,
// and makes the indexes of those that belong to others.
package tables

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Quote makes an SQL identifier. Names come from class tags, never from data.
func Quote(name string) string { return `"` + name + `"` }

// Names are the tables of a database, sorted.
func Names(ctx context.Context, tx *sql.Tx, dialect sqldb.Dialect) (names []string, err error) {
	query := `SELECT "name" FROM "sqlite_master" WHERE "type" = 'table' AND "name" NOT LIKE 'sqlite_%'`
	if dialect == sqldb.PostgreSQL {
		query = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
	}
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, rows.Err()
}

// Columns are those of a table, in their order there.
func Columns(ctx context.Context, tx *sql.Tx, table string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT * FROM %s LIMIT 0", Quote(table)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return rows.Columns()
}
