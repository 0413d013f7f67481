package tables

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Index makes the index by which a table's rows are found by some of their
// columns, unless it is there.
//
// Rows are wanted in the order of their keys. On SQLite they come so, and are not
// sorted. PostgreSQL bounds an entry of an index (2,704 bytes), and sorts what
// little is found.
func Index(ctx context.Context, tx *sql.Tx, dialect sqldb.Dialect, table string, columns []string) error {
	name := table + "_" + strings.Join(columns, "_")
	var quoted []string
	for _, c := range columns {
		quoted = append(quoted, Quote(c))
	}
	if dialect == sqldb.SQLite {
		if _, err := tx.ExecContext(ctx, "DROP INDEX IF EXISTS "+Quote(name)); err != nil { // without the key, of before
			return err
		}
		name, quoted = name+"_key", append(quoted, Quote("key"))
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (%s)", Quote(name), Quote(table), strings.Join(quoted, ", ")))
	return err
}
