package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// ceiling measures what the same database does, with the same durability, when
// nobody has to be listened to: the rows that a check-in writes, by one writer
// in this process, 256 check-ins a commit and one.
func (b *bench) ceiling(ctx context.Context) error {
	db, err := sqlite.Open(filepath.Join(b.scratch, "raw.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, stmt := range []string{
		`CREATE TABLE "state" ("key" TEXT PRIMARY KEY, "version" TEXT, "at" TEXT)`, `CREATE TABLE "seen" ("key" TEXT PRIMARY KEY, "at" TEXT)`,
		`CREATE TABLE "change" ("revision" BIGINT, "n" BIGINT, "key" TEXT, "before" TEXT, "after" TEXT, PRIMARY KEY ("revision", "n"))`,
		`CREATE INDEX "change_key" ON "change" ("key")`, `CREATE TABLE "revision" ("number" BIGINT PRIMARY KEY, "at" BIGINT, "actor" TEXT)`,
	} {
		if _, err := db.Write.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	single, err := b.raw(ctx, db.Write, 1)
	if err != nil {
		return err
	}
	grouped, err := b.raw(ctx, db.Write, 256)
	if err != nil {
		return err
	}
	b.say("raw SQLite, the rows of a check-in: %.0f a second, each with a commit of its own: %.0f", grouped, single)
	for _, f := range b.figures {
		if f.Name == "durable check-ins over warm connections" {
			b.more(service, f.Name, f.Unit, f.Ours, "raw SQLite, a commit for each", single, 1)
			b.more(service, f.Name, f.Unit, f.Ours, "raw SQLite, a commit for 256", grouped, 0)
			break
		}
	}
	return nil
}

// raw writes check-ins for a while and says how many a second.
func (b *bench) raw(ctx context.Context, db *sql.DB, group int) (float64, error) {
	began, n := time.Now(), 0
	for time.Since(began) < 5*time.Second {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		var stmts []*sql.Stmt
		for _, text := range []string{
			`INSERT INTO "state" VALUES (?, ?, ?) ON CONFLICT ("key") DO UPDATE SET "version" = excluded."version", "at" = excluded."at"`,
			`INSERT INTO "seen" VALUES (?, ?) ON CONFLICT ("key") DO UPDATE SET "at" = excluded."at"`,
			`INSERT INTO "change" VALUES (?, 1, ?, ?, ?) ON CONFLICT DO NOTHING`, `INSERT INTO "revision" VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		} {
			stmt, err := tx.PrepareContext(ctx, text)
			if err != nil {
				tx.Rollback()
				return 0, err
			}
			stmts = append(stmts, stmt)
		}
		for range group {
			n++
			now := time.Now()
			host, at := fmt.Sprintf("pc%05d.bench.test", n%b.hosts), now.Format(time.DateTime)
			number := now.UnixNano()
			for i, args := range [][]any{
				{host + ";simulated", fmt.Sprint(n), at}, {host, at},
				{number, host, `{"packageVersion":"1"}`, `{"packageVersion":"2"}`}, {number, now.UnixMilli(), host},
			} {
				if _, err := stmts[i].ExecContext(ctx, args...); err != nil {
					tx.Rollback()
					return 0, err
				}
			}
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
