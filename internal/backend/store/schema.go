package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store/tables"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// format is the number of the database's layout. A class that gains a column
// or a new class does not raise it: those are added at the next start. Anything
// else does, and an older program refuses the database.
const format = 1

// head is the one row that all writers take turns on.
const head = `CREATE TABLE IF NOT EXISTS "head" ("id" BIGINT PRIMARY KEY, "format" BIGINT NOT NULL, "epoch" TEXT NOT NULL, "number" BIGINT NOT NULL)`

// base holds what else does not come from classes. Text primary keys and BIGINT
// mean the same on both engines.
var base = []string{
	`CREATE TABLE IF NOT EXISTS "revision" ("number" BIGINT PRIMARY KEY, "tag" TEXT NOT NULL, "at" BIGINT NOT NULL,
		"source" TEXT NOT NULL, "actor" TEXT NOT NULL, "address" TEXT NOT NULL, "request" TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS "change" ("revision" BIGINT NOT NULL, "n" BIGINT NOT NULL, "class" TEXT NOT NULL, "key" TEXT NOT NULL,
		"op" TEXT NOT NULL, "before" TEXT, "after" TEXT, PRIMARY KEY ("revision", "n"))`,
	`CREATE INDEX IF NOT EXISTS "change_object" ON "change" ("class", "key")`,
	`CREATE TABLE IF NOT EXISTS "element" ("class" TEXT NOT NULL, "key" TEXT NOT NULL, "attribute" TEXT NOT NULL, "value" TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS "element_object" ON "element" ("class", "key")`,
	`CREATE INDEX IF NOT EXISTS "element_value" ON "element" ("class", "attribute", "value")`,
}

func newTable(c *fleet.Class) *table {
	t := &table{class: c}
	if len(c.Types) > 0 && c.Column(typeColumn) == nil {
		t.columns = append(t.columns, typeColumn)
	}
	for _, col := range c.Columns {
		t.columns = append(t.columns, col.Name)
	}
	if c.Open {
		t.columns = append(t.columns, extraColumn)
	}
	var names, sets []string
	for _, name := range t.columns {
		names = append(names, quote(name))
		sets = append(sets, fmt.Sprintf("%s = excluded.%s", quote(name), quote(name)))
	}
	t.insert = fmt.Sprintf(`INSERT INTO %s ("key", %s) VALUES (?%s) ON CONFLICT ("key") DO UPDATE SET %s`,
		quote(c.Name), strings.Join(names, ", "), strings.Repeat(", ?", len(names)), strings.Join(sets, ", "))
	t.find = "SELECT " + strings.Join(names, ", ") + " FROM " + quote(c.Name)
	t.typeAt = slices.Index(t.columns, typeColumn)
	return t
}

// quote makes an SQL identifier, see [tables.Quote].
func quote(name string) string { return tables.Quote(name) }

func (t *table) columnType(name string) string {
	col := t.class.Column(name)
	if col != nil && (col.Kind == fleet.Bool || col.Kind == fleet.Int) {
		return "BIGINT"
	}
	return "TEXT"
}

// definition is a column as it is made. Its default is for rows of a program
// that does not know the column.
func (t *table) definition(name string) string {
	def := quote(name) + " " + t.columnType(name)
	col := t.class.Column(name)
	switch {
	case col == nil:
	case col.Kind == fleet.List:
		def += ` DEFAULT '[]'`
	case col.Default != nil:
		switch v := scalar(col.Default).(type) {
		case string:
			def += " DEFAULT '" + strings.ReplaceAll(v, "'", "''") + "'"
		case int64:
			def += fmt.Sprintf(" DEFAULT %d", v)
		}
	}
	return def
}

// prepare makes what is missing, in one transaction.
func (s *Store) prepare(ctx context.Context) error {
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if s.db.Dialect == sqldb.PostgreSQL {
		// Two servers may start on one database at once.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(4447)`); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, head); err != nil {
		return err
	}
	if err := s.checkFormat(ctx, tx); err != nil {
		return err
	}
	for _, stmt := range base {
		if _, err := tx.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	for _, t := range s.order {
		if err := s.prepareTable(ctx, tx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.class.Name, err)
		}
	}
	return tx.Commit()
}

// checkFormat refuses the database of a newer program, before anything in it is
// changed, and takes the writers' turn: another server may be writing, and the
// locks of new tables and indexes would meet its own halfway.
func (s *Store) checkFormat(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, s.db.Dialect.Rebind(
		`INSERT INTO "head" ("id", "format", "epoch", "number") VALUES (1, ?, ?, 0) ON CONFLICT ("id") DO NOTHING`), format, token())
	if err != nil {
		return err
	}
	query := `SELECT "format" FROM "head" WHERE "id" = 1`
	if s.db.Dialect == sqldb.PostgreSQL {
		query += " FOR UPDATE"
	}
	var found int
	if err := tx.QueryRowContext(ctx, query).Scan(&found); err != nil {
		return err
	}
	if found > format {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "the database has layout %d, this program knows up to %d", found, format),
			"a newer version wrote it: start that version, or restore a backup made by this one")
	}
	return nil
}

func (s *Store) prepareTable(ctx context.Context, tx *sql.Tx, t *table) error {
	defs := []string{`"key" TEXT PRIMARY KEY`}
	for _, name := range t.columns {
		defs = append(defs, t.definition(name))
	}
	stmt := fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s)", quote(t.class.Name), strings.Join(defs, ", "))
	if _, err := tx.ExecContext(ctx, stmt); err != nil {
		return err
	}
	have, err := tables.Columns(ctx, tx, t.class.Name)
	if err != nil {
		return err
	}
	for _, name := range t.columns {
		if slices.Contains(have, name) {
			continue
		}
		stmt := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", quote(t.class.Name), t.definition(name))
		if _, err := tx.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	if len(t.class.Types) > 1 { // the few servers among ten thousand hosts are asked for by each of these
		if err := tables.Index(ctx, tx, s.db.Dialect, t.class.Name, []string{typeColumn}); err != nil {
			return err
		}
	}
	for _, o := range t.class.Owners {
		if err := s.prepareOwner(ctx, tx, t, o); err != nil {
			return err
		}
	}
	return nil
}

// prepareOwner notes the cascade with the owner and indexes the columns that
// it looks up.
func (s *Store) prepareOwner(ctx context.Context, tx *sql.Tx, t *table, o fleet.Owner) error {
	owner := s.tables[o.Class]
	if owner == nil {
		return fmt.Errorf("its owner %s is not a class of this store", o.Class)
	}
	owner.owned = append(owner.owned, ownership{class: t.class.Name, pairs: o.Columns})
	return tables.Index(ctx, tx, s.db.Dialect, t.class.Name, slices.Sorted(maps.Keys(o.Columns)))
}
