package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// A dump is all rows of a database at one moment, the same for both engines, as
// lines of JSON:
//
//	{"dump": 1, "format": 1, "epoch": "...", "number": 4711}
//	{"table": "host", "columns": ["key", "type", ...]}
//	["pc1.example.org", "OpsiClient", ...]      any number of them
//	{"rows": 815}                               at the end
const dumpVersion = 1

// maxDumpLine bounds one row; a log of a host is no row.
const maxDumpLine = 64 << 20

type dumpLine struct {
	Dump    int      `json:"dump,omitempty"`
	Format  int      `json:"format,omitempty"`
	Epoch   string   `json:"epoch,omitempty"`
	Number  int64    `json:"number,omitempty"`
	Table   string   `json:"table,omitempty"`
	Columns []string `json:"columns,omitempty"`
	Rows    *int64   `json:"rows,omitempty"`
}

// Dump writes a dump of a database, whichever version of the program made it,
// while others write there. It returns the revision that the dump holds.
func Dump(ctx context.Context, db *sqldb.DB, w io.Writer) (Position, error) {
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
	head := dumpLine{Dump: dumpVersion}
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
	tables, err := tablesOf(d.ctx, d.tx, d.dialect)
	if err != nil {
		return pos, err
	}
	for _, t := range tables {
		if t == "head" {
			continue
		}
		if err := d.table(t); err != nil {
			return pos, fmt.Errorf("table %s: %w", t, err)
		}
	}
	return pos, d.out.Encode(dumpLine{Rows: &d.rows})
}

func (d *dumper) table(name string) error {
	rows, err := d.tx.QueryContext(d.ctx, "SELECT * FROM "+quote(name))
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	if err := d.out.Encode(dumpLine{Table: name, Columns: columns}); err != nil {
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

func tablesOf(ctx context.Context, tx *sql.Tx, dialect sqldb.Dialect) (names []string, err error) {
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
	l := &loader{ctx: ctx, s: s, tx: tx, in: bufio.NewReaderSize(r, 1<<20)}
	if err := l.all(); err != nil {
		return fmt.Errorf("cannot load the dump: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("cannot load the dump: %w", err)
	}
	s.feed.wakeAll()
	return nil
}

type loader struct {
	ctx    context.Context
	s      *Store
	tx     *sql.Tx
	in     *bufio.Reader
	known  map[string][]string
	insert *sql.Stmt
	rows   int64
}

// next reads a line, without its end.
func (l *loader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxDumpLine {
			return nil, errors.New("a line is too long")
		}
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

func (l *loader) all() error {
	line, err := l.next()
	if err != nil {
		return err
	}
	var head dumpLine
	if err := json.Unmarshal(line, &head); err != nil || head.Dump == 0 {
		return fleet.Errorf(fleet.Invalid, "it does not begin as a dump does")
	}
	if head.Dump > dumpVersion || head.Format > format {
		return newer(fmt.Sprintf("it has version %d and layout %d", head.Dump, head.Format))
	}
	if err := l.empty(); err != nil {
		return err
	}
	for {
		if line, err = l.next(); err != nil {
			return err
		}
		if line[0] == '[' {
			if err := l.row(line); err != nil {
				return err
			}
			continue
		}
		var h dumpLine
		if err := json.Unmarshal(line, &h); err != nil {
			return err
		}
		if h.Rows != nil {
			if *h.Rows != l.rows {
				return fmt.Errorf("%d rows of %d are there", l.rows, *h.Rows)
			}
			break
		}
		if err := l.table(h); err != nil {
			return err
		}
	}
	_, err = l.tx.ExecContext(l.ctx, l.s.db.Dialect.Rebind(`UPDATE "head" SET "epoch" = ?, "number" = ? WHERE "id" = 1`), token(), head.Number)
	return err
}

func newer(what string) error {
	return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%s, which this program does not know", what), "a newer version wrote it: use that version")
}

// empty takes the writers' turn and removes all rows.
func (l *loader) empty() error {
	if l.s.db.Dialect == sqldb.PostgreSQL {
		if _, err := l.tx.ExecContext(l.ctx, `SELECT "number" FROM "head" WHERE "id" = 1 FOR UPDATE`); err != nil {
			return err
		}
	}
	tables, err := tablesOf(l.ctx, l.tx, l.s.db.Dialect)
	if err != nil {
		return err
	}
	l.known = map[string][]string{}
	for _, t := range tables {
		if t == "head" {
			continue
		}
		if l.known[t], err = columnsOf(l.ctx, l.tx, t); err != nil {
			return err
		}
		if _, err := l.tx.ExecContext(l.ctx, "DELETE FROM "+quote(t)); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) table(h dumpLine) (err error) {
	known, there := l.known[h.Table]
	if !there {
		return newer(fmt.Sprintf("it has a table %q", h.Table))
	}
	names, marks := []string{}, []string{}
	for _, c := range h.Columns {
		if !slices.Contains(known, c) {
			return newer(fmt.Sprintf("its table %q has a column %q", h.Table, c))
		}
		names, marks = append(names, quote(c)), append(marks, "?")
	}
	if len(names) == 0 {
		return fleet.Errorf(fleet.Invalid, "its table %q has no columns", h.Table)
	}
	if l.insert != nil {
		l.insert.Close()
	}
	l.insert, err = l.tx.PrepareContext(l.ctx, l.s.db.Dialect.Rebind(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)",
		quote(h.Table), strings.Join(names, ", "), strings.Join(marks, ", "))))
	return err
}

func (l *loader) row(line []byte) error {
	if l.insert == nil {
		return fleet.Errorf(fleet.Invalid, "a row stands before its table")
	}
	in := json.NewDecoder(strings.NewReader(string(line)))
	in.UseNumber()
	var values []any
	if err := in.Decode(&values); err != nil {
		return err
	}
	for i, v := range values {
		switch v := v.(type) {
		case nil, string:
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				return fleet.Errorf(fleet.Invalid, "%s is no whole number", v)
			}
			values[i] = n
		default:
			return fleet.Errorf(fleet.Invalid, "a value is a %T", v)
		}
	}
	if _, err := l.insert.ExecContext(l.ctx, values...); err != nil {
		return err
	}
	l.rows++
	return nil
}
