package dump

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

	"github.com/fernwerk/fernwerk/internal/backend/store/tables"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Read replaces all rows by those of a dump, and names the history epoch. format
// is the newest layout of tables that the program knows. The caller commits.
func Read(ctx context.Context, tx *sql.Tx, dialect sqldb.Dialect, format int, epoch string, r io.Reader) error {
	l := &loader{ctx: ctx, tx: tx, dialect: dialect, format: format, in: bufio.NewReaderSize(r, 1<<20)}
	head, err := l.all()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, dialect.Rebind(`UPDATE "head" SET "epoch" = ?, "number" = ? WHERE "id" = 1`), epoch, head.Number)
	return err
}

type loader struct {
	ctx     context.Context
	tx      *sql.Tx
	dialect sqldb.Dialect
	format  int
	in      *bufio.Reader
	known   map[string][]string
	insert  *sql.Stmt
	rows    int64
}

// next reads a line, without its end.
func (l *loader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
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

func (l *loader) all() (head line, err error) {
	text, err := l.next()
	if err != nil {
		return head, err
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Dump == 0 {
		return head, fleet.Errorf(fleet.Invalid, "it does not begin as a dump does")
	}
	if head.Dump > version || head.Format > l.format {
		return head, newer(fmt.Sprintf("it has version %d and layout %d", head.Dump, head.Format))
	}
	if err := l.empty(); err != nil {
		return head, err
	}
	for {
		if text, err = l.next(); err != nil {
			return head, err
		}
		if text[0] == '[' {
			if err := l.row(text); err != nil {
				return head, err
			}
			continue
		}
		var h line
		if err := json.Unmarshal(text, &h); err != nil {
			return head, err
		}
		if h.Rows != nil {
			if *h.Rows != l.rows {
				err = fmt.Errorf("%d rows of %d are there", l.rows, *h.Rows)
			}
			return head, err
		}
		if err := l.table(h); err != nil {
			return head, err
		}
	}
}

func newer(what string) error {
	return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%s, which this program does not know", what), "a newer version wrote it: use that version")
}

// empty takes the writers' turn and removes all rows.
func (l *loader) empty() error {
	if l.dialect == sqldb.PostgreSQL {
		if _, err := l.tx.ExecContext(l.ctx, `SELECT "number" FROM "head" WHERE "id" = 1 FOR UPDATE`); err != nil {
			return err
		}
	}
	all, err := tables.Names(l.ctx, l.tx, l.dialect)
	if err != nil {
		return err
	}
	l.known = map[string][]string{}
	for _, t := range all {
		if t == "head" {
			continue
		}
		if l.known[t], err = tables.Columns(l.ctx, l.tx, t); err != nil {
			return err
		}
		if _, err := l.tx.ExecContext(l.ctx, "DELETE FROM "+tables.Quote(t)); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) table(h line) (err error) {
	known, there := l.known[h.Table]
	if !there {
		return newer(fmt.Sprintf("it has a table %q", h.Table))
	}
	names, marks := []string{}, []string{}
	for _, c := range h.Columns {
		if !slices.Contains(known, c) {
			return newer(fmt.Sprintf("its table %q has a column %q", h.Table, c))
		}
		names, marks = append(names, tables.Quote(c)), append(marks, "?")
	}
	if len(names) == 0 {
		return fleet.Errorf(fleet.Invalid, "its table %q has no columns", h.Table)
	}
	if l.insert != nil {
		l.insert.Close()
	}
	l.insert, err = l.tx.PrepareContext(l.ctx, l.dialect.Rebind(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)",
		tables.Quote(h.Table), strings.Join(names, ", "), strings.Join(marks, ", "))))
	return err
}

func (l *loader) row(text []byte) error {
	if l.insert == nil {
		return fleet.Errorf(fleet.Invalid, "a row stands before its table")
	}
	in := json.NewDecoder(strings.NewReader(string(text)))
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
