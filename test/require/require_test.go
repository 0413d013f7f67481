package require

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// recorder is a testing.TB that keeps how a test would have ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs f until it ends or ends the test.
func record(f func(testing.TB)) *recorder {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestLeavingOutSaysWhy(t *testing.T) {
	r := record(func(tb testing.TB) { leaveOut(tb, false, "warp drive", "not invented") })
	if want := "left out: warp drive: not invented"; r.skipped != want || r.failed != "" {
		t.Errorf("skipped %q, failed %q; want skipped %q", r.skipped, r.failed, want)
	}
}

func TestLeavingOutFailsWhereEverythingIsRequired(t *testing.T) {
	r := record(func(tb testing.TB) { leaveOut(tb, true, "warp drive", "not invented") })
	if r.skipped != "" || !strings.Contains(r.failed, "warp drive is required here") {
		t.Errorf("skipped %q, failed %q; want a failure", r.skipped, r.failed)
	}
}

func TestMissingTool(t *testing.T) {
	t.Setenv(EnvAll, "")
	if r := record(func(tb testing.TB) { Tool(tb, "no-such-tool-here") }); r.skipped == "" {
		t.Errorf("a missing tool did not leave the test out: %+v", r)
	}
	t.Setenv(EnvAll, "all")
	if r := record(func(tb testing.TB) { Tool(tb, "no-such-tool-here") }); r.failed == "" {
		t.Errorf("a missing tool did not fail the test: %+v", r)
	}
}

func TestPostgresDatabasesAreFreshAndSeparate(t *testing.T) {
	first, second := Postgres(t), Postgres(t)
	if first == second {
		t.Fatalf("two calls gave the same database %s", first)
	}
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "CREATE TABLE t (name text); INSERT INTO t VALUES ('a'), ('B')"); err != nil {
		t.Fatal(err)
	}
	var least string
	if err := conn.QueryRow(ctx, "SELECT name FROM t ORDER BY name LIMIT 1").Scan(&least); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(EnvPostgres) == "" && least != "a" {
		t.Errorf("order starts with %q: the server does not order like a language", least)
	}

	other, err := pgx.Connect(ctx, second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	if _, err := other.Exec(ctx, "SELECT * FROM t"); err == nil {
		t.Error("the second database holds the table of the first")
	}
}
