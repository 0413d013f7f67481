package fernwerk_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestEachRuleFires shows each rule failing on a small house that breaks it, and silent on the
// nearest one that does not.
func TestEachRuleFires(t *testing.T) {
	const m = module + "/"
	long := func(lines int) string { return "// Package p is long.\npackage p\n" + strings.Repeat("\n", lines-2) }
	tests := []struct {
		rule, name string
		house      *house
		fault      string // empty: the rule must be silent
	}{
		{"imports", "fleet reads files", importing("internal/fleet", "os"), "internal/fleet imports os"},
		{"imports", "fleet runs programs", importing("internal/fleet/merge", "os/exec"), "imports os/exec"},
		{"imports", "fleet uses net/http", importing("internal/fleet", "net/http"), "imports net/http"},
		{"imports", "fleet uses net/url", importing("internal/fleet", "net/url", "fmt"), ""},
		{"imports", "fleet uses kit", importing("internal/fleet", m+"internal/kit/retry"), "imports " + m},
		{"imports", "fleet uses a library", importing("internal/fleet", "github.com/klauspost/compress/zstd"), "module not on the line"},
		{"imports", "fleet/archive uses it", importing("internal/fleet/archive", "github.com/klauspost/compress/zstd"), ""},
		{"imports", "kit knows fleet", importing("internal/kit/retry", m+"internal/fleet"), "imports " + m},
		{"imports", "backend knows server", importing("internal/backend/rpc", m+"internal/server/access"), "imports " + m},
		{"imports", "store imports a driver", importing("internal/backend/store", "modernc.org/sqlite"), "module not on the line"},
		{"imports", "store imports an engine", importing("internal/backend/store", m+"internal/kit/sqldb/sqlite"), "imports " + m},
		{"imports", "store imports sqldb", importing("internal/backend/store", m+"internal/kit/sqldb", "database/sql"), ""},
		{"imports", "server knows agent", importing("internal/server", m+"internal/agent/event"), "imports " + m},
		{"imports", "agent knows ctl", importing("internal/agent", m+"internal/ctl"), "imports " + m},
		{"imports", "ctl uses the store", importing("internal/ctl", m+"internal/backend/store"), "imports " + m},
		{"imports", "ctl uses rpc", importing("internal/ctl", m+"internal/backend/rpc"), ""},
		{"imports", "main of the other side", importing("cmd/fernwerk", m+"internal/server"), "imports " + m},
		{"imports", "a seventh word", importing("internal/common", "fmt"), "has no place in the tree"},
		{"imports", "program uses test code", importing("internal/server", m+"internal/backend/backendtest"), "only tests"},
		{"imports", "program uses testing", importing("internal/server", "testing"), "only tests"},
		{"imports", "test code uses testing", importing("internal/backend/backendtest", "testing"), ""},
		{"imports", "a room of test code uses testing", importing("internal/backend/backendtest/bench", "testing"), ""},

		{"siblings", "server parts", importing("internal/server/dns", m+"internal/server/presence"), "imports its sibling"},
		{"siblings", "agent parts below", importing("internal/agent/event/timer", m+"internal/agent/session"), "imports its sibling"},
		{"siblings", "a part of its own", importing("internal/server/tunnel", m+"internal/server/tunnel/openvpn"), ""},
		{"siblings", "server.go", importing("internal/server", m+"internal/server/dns"), ""},
		{"siblings", "the command", importing("internal/server/command", m+"internal/server"), ""},

		{"one library", "two", importing("internal/kit/x", "github.com/a/b/c", "github.com/d/e"), "github.com/a/b and github.com/d/e"},
		{"one library", "a host that is its owner", importing("internal/kit/x", "filippo.io/age", "filippo.io/age/armor"), ""},
		{"one library", "one and golang.org/x", importing("internal/kit/x", "github.com/a/b/c", "github.com/a/b", "golang.org/x/sys/unix"), ""},

		{"agent links", "not listed", linking("github.com/jackc/pgx/v5"), "github.com/jackc/pgx/v5 is linked"},
		{"agent links", "listed for nothing", without("modernc.org/sqlite"), "modernc.org/sqlite is on the list"},
		{"agent links", "no agent", &house{}, "is it gone"},
		{"agent links", "as listed", linking(), ""},

		{"no clock", "now", holding("internal/fleet/merge/m.go", "package merge\nvar t = time.Now()"), "time.Now"},
		{"no clock", "timer", holding("internal/fleet/m.go", "package fleet\nvar t = time.NewTimer(0)"), "time.NewTimer"},
		{"no clock", "a time is no clock", holding("internal/fleet/m.go", "package fleet\nvar t time.Time"), ""},
		{"no clock", "elsewhere", holding("internal/kit/m.go", "package kit\nvar t = time.Now()"), ""},

		{"SQL", "select", holding("internal/server/s.go", "package server\nvar q = `SELECT id FROM host`"), "s.go:2 holds SQL"},
		{"SQL", "the start of one", holding("internal/server/s.go", "package server\nvar q = \"SELECT \" + columns"), "holds SQL"},
		{"SQL", "insert", holding("internal/kit/s.go", "package kit\nvar q = `insert into host values (1)`"), "holds SQL"},
		{"SQL", "update", holding("internal/kit/s.go", "package kit\nvar q = `\tUPDATE host SET id = 1`"), "holds SQL"},
		{"SQL", "delete", holding("internal/kit/s.go", "package kit\nvar q = `DELETE FROM host`"), "holds SQL"},
		{"SQL", "create", holding("internal/kit/s.go", "package kit\nvar q = `CREATE TABLE host (id TEXT)`"), "holds SQL"},
		{"SQL", "a file", &house{sql: []string{"internal/server/schema.sql"}}, "schema.sql holds SQL"},
		{"SQL", "in the store", holding("internal/backend/store/s.go", "package store\nvar q = `SELECT id FROM host`"), ""},
		{"SQL", "in migrations", &house{sql: []string{"internal/agent/engine/migrations/1.sql"}}, ""},
		{"SQL", "prose", holding("internal/server/s.go", "package server\nvar q = `select a host from the list`"), ""},

		{"comments", "none", holding("internal/kit/x/x.go", "package x"), "has no comment"},
		{"comments", "of another name", holding("internal/kit/x/x.go", "// Package y is x.\npackage x"), "has no comment"},
		{"comments", "a program", holding("cmd/fernwerk/main.go", "// Command fernwerk is it.\npackage main"), ""},
		{"comments", "a package", holding("internal/kit/x/x.go", "// Package x is it.\npackage x"), ""},

		{"sizes", "file", holding("internal/kit/p/p.go", long(501)), "p.go has 501 lines"},
		{"sizes", "package", holding("internal/kit/p/a.go", long(500), long(500), long(500), long(500), long(2)), "internal/kit/p has 2002"},
		{"sizes", "a package of cases", holding("internal/kit/ptest/a.go", long(500), long(500), long(500), long(500), long(2)), ""},
		{"sizes", "main", holding("cmd/p/p.go", long(61)), "cmd/p has 61 lines"},
		{"sizes", "at the limit", holding("internal/kit/p/p.go", long(500)), ""},
		{"sizes", "a long test", holding("internal/kit/p/p_test.go", long(900)), ""},

		{"names", "package", holding("internal/kit/util/x.go", "package util"), "internal/kit/util is named after nothing"},
		{"names", "file", holding("internal/kit/x/types.go", "package x"), "types.go is named after nothing"},
		{"names", "noun", holding("internal/kit/x/x.go", "package x"), ""},

		{"sleeps", "test", holding("internal/kit/x/x_test.go", "package x\nfunc f() { time.Sleep(1) }"), "x_test.go:2 sleeps"},
		{"sleeps", "beside a bubble", holding("internal/kit/x/x_test.go", "package x\nfunc f() { synctest.Test(t, g); time.Sleep(1) }"), "sleeps"},
		{"sleeps", "in a bubble", holding("internal/kit/x/x_test.go", "package x\nfunc f() { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }"), ""},
		{"sleeps", "no test", holding("internal/kit/x/x.go", "package x\nfunc f() { time.Sleep(1) }"), ""},

		{"leftovers", "note", holding("internal/kit/x/x.go", "package x\n\n// "+"TO"+"DO: more"), "x.go:3 says"},
		{"leftovers", "word", holding("internal/kit/x/x.go", "package x\n\n// A list of todos."), ""},
	}
	tried := make(map[string]bool)
	for _, tt := range tests {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			i := slices.IndexFunc(rules, func(r rule) bool { return r.name == tt.rule })
			if i < 0 {
				t.Fatalf("there is no rule %q", tt.rule)
			}
			faults := rules[i].check(tt.house)
			switch {
			case tt.fault == "" && len(faults) > 0:
				t.Errorf("fired: %q", faults)
			case tt.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0], tt.fault)):
				t.Errorf("got %q, want one fault that says %q", faults, tt.fault)
			}
		})
		tried[tt.rule] = tried[tt.rule] || tt.fault != ""
	}
	for _, r := range rules {
		if !tried[r.name] {
			t.Errorf("rule %q was never seen failing", r.name)
		}
	}
}

// importing is a house of one package with these direct imports.
func importing(folder string, imports ...string) *house {
	r := &room{folder: folder, imports: make(map[string]bool)}
	for _, imported := range imports {
		r.imports[imported] = true
	}
	return &house{packages: []*room{r}}
}

// linking is a house whose agent links what is listed, and more.
func linking(more ...string) *house {
	h := &house{agent: make(map[string]bool)}
	for _, linked := range slices.Concat(slices.Collect(maps.Keys(agentModules)), more) {
		h.agent[linked] = true
	}
	return h
}

// without is a house whose agent links what is listed, except one.
func without(listed string) *house {
	h := linking()
	delete(h.agent, listed)
	return h
}

// holding is a house of one package whose files, all of one name, hold these texts.
func holding(name string, texts ...string) *house {
	r := &room{folder: path.Dir(name)}
	for _, text := range texts {
		f, err := parse(path.Base(name), []byte(text))
		if err != nil {
			panic(err)
		}
		r.files = append(r.files, f)
	}
	return &house{packages: []*room{r}}
}
