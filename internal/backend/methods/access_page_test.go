package methods_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var columns = []methods.Role{methods.Administrator, methods.Operator, methods.Reader, methods.Depot, methods.Host}

// rolesTables are the tables of docs/reference/access.md, from the method table.
func rolesTables() string {
	byName := map[string]*methods.Method{}
	for _, m := range catalog.Table() {
		byName[m.Name] = m
	}
	var b strings.Builder
	b.WriteString("| class | administrator | operator | reader | depot | host |\n|---|---|---|---|---|---|\n")
	generated := map[string]bool{}
	for _, c := range fleet.Classes() {
		fmt.Fprintf(&b, "| `%s` |", c.Name)
		for _, role := range columns {
			may := ""
			for _, op := range [][2]string{{"r", "getObjects"}, {"w", "updateObject"}, {"c", "insertObject"}, {"d", "deleteObjects"}} {
				if m := byName[c.Name+"_"+op[1]]; m.Allows(role) {
					may += op[0]
				}
			}
			fmt.Fprintf(&b, " %s |", may)
		}
		b.WriteByte('\n')
		for _, end := range []string{"getObjects", "getHashes", "getIdents", "insertObject", "createObjects", "updateObject", "updateObjects", "deleteObjects", "delete"} {
			generated[c.Name+"_"+end] = true
		}
	}
	b.WriteString("\n| method | administrator | operator | reader | depot | host |\n|---|---|---|---|---|---|\n")
	for _, m := range catalog.Table() {
		if generated[m.Name] || m.Class != nil && strings.HasPrefix(m.Name, m.Class.Name+"_create") {
			continue
		}
		fmt.Fprintf(&b, "| `%s` |", m.Name)
		for _, role := range columns {
			may := ""
			if m.Allows(role) {
				may = "x"
			}
			fmt.Fprintf(&b, " %s |", may)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// The page says who may call what, from the table itself.
func TestAccess_Page(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "reference", "access.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- roles: written by go test ./internal/backend/methods -run TestAccess_Page -update -->\n", "<!-- end of roles -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	got, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("%s has no place for the tables", path)
	}
	want := rolesTables()
	if *rewrite {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		got = want
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s is not what the table says; write it with -update (-table +page):\n%s", path, d)
	}
}
