// Package dump writes all rows of a database at one moment, and reads them into
// another, of either engine. Package store decides when, and what the history is
// called afterwards.
//
// A dump is lines of JSON:
//
//	{"dump": 1, "format": 1, "epoch": "...", "number": 4711}
//	{"table": "host", "columns": ["key", "type", ...]}
//	["pc1.example.org", "OpsiClient", ...]      any number of them
//	{"rows": 815}                               at the end
//
// It is whole only with its last line: one that was cut is refused.
package dump

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fernwerk/fernwerk/internal/backend/store/tables"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// version is of the lines; format, of the tables, is the store's.
const version = 1

// maxLine bounds one row; a log of a host is no row.
const maxLine = 64 << 20

// Position is where in its history the database was.
type Position struct {
	Epoch    string
	Revision int64
	Tag      string
}

type line struct {
	Dump    int      `json:"dump,omitempty"`
	Format  int      `json:"format,omitempty"`
	Epoch   string   `json:"epoch,omitempty"`
	Number  int64    `json:"number,omitempty"`
	Table   string   `json:"table,omitempty"`
	Columns []string `json:"columns,omitempty"`
	Rows    *int64   `json:"rows,omitempty"`
}

// Write writes a dump of a database, whichever version of the program made it,
// while others write there. It returns the position that the dump holds.
func Write(ctx context.Context, db *sqldb.DB, w io.Writer) (Position, error) {
	opts := &sql.TxOptions{ReadOnly: true}
	if db.Dialect == sqldb.PostgreSQL {
		opts.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.Read.BeginTx(ctx, opts)
	if err != nil {
		return Position{}, fmt.Errorf("cannot read the database: %w", err)
	}
	defer tx.Rollback()
	out := bufio.NewWriterSize(w, 1<<20)
	d := &dumper{ctx: ctx, tx: tx, dialect: db.Dialect, out: json.NewEncoder(out)}
	d.out.SetEscapeHTML(false)
	pos, err := d.all()
	if err != nil {
		return Position{}, fmt.Errorf("cannot dump the database: %w", err)
	}
	return pos, out.Flush()
}

type dumper struct {
	ctx     context.Context
	tx      *sql.Tx
	dialect sqldb.Dialect
	out     *json.Encoder
	rows    int64
}

func (d *dumper) all() (Position, error) {
	head := line{Dump: version}
	err := d.tx.QueryRowContext(d.ctx, `SELECT "format", "epoch", "number" FROM "head" WHERE "id" = 1`).Scan(&head.Format, &head.Epoch, &head.Number)
	if err != nil {
		return Position{}, err
	}
	pos := Position{Epoch: head.Epoch, Revision: head.Number}
	err = d.tx.QueryRowContext(d.ctx, d.dialect.Rebind(`SELECT "tag" FROM "revision" WHERE "number" = ?`), head.Number).Scan(&pos.Tag)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return pos, err
	}
	if err := d.out.Encode(head); err != nil {
		return pos, err
	}
	all, err := tables.Names(d.ctx, d.tx, d.dialect)
	if err != nil {
		return pos, err
	}
	for _, t := range all {
		if t == "head" {
			continue
		}
		if err := d.table(t); err != nil {
			return pos, fmt.Errorf("table %s: %w", t, err)
		}
	}
	return pos, d.out.Encode(line{Rows: &d.rows})
}

func (d *dumper) table(name string) error {
	rows, err := d.tx.QueryContext(d.ctx, "SELECT * FROM "+tables.Quote(name))
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	if err := d.out.Encode(line{Table: name, Columns: columns}); err != nil {
		return err
	}
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		for i, v := range values {
			switch v := v.(type) {
			case nil, string, int64:
			case []byte:
				values[i] = string(v)
			default:
				return fmt.Errorf("column %s holds a %T", columns[i], v)
			}
		}
		if err := d.out.Encode(values); err != nil {
			return err
		}
		d.rows++
	}
	return rows.Err()
}
