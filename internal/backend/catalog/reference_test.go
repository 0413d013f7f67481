package catalog_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/about"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var rewrite = flag.Bool("update", false, "write docs/reference/methods.md anew")

// The reference of methods is made from the table, so that it tells of each.
func TestReference_IsTheTable(t *testing.T) {
	name := filepath.Join("..", "..", "..", "docs", "reference", "methods.md")
	text := reference()
	if *rewrite {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, text) {
		t.Errorf("%s is not what the table says; run this test with -update", name)
	}
	for _, m := range catalog.Table() {
		if !bytes.Contains(have, []byte("`"+m.Signature()+"`")) {
			t.Errorf("%s does not tell of %s", name, m.Signature())
		}
	}
}

// What is said not to be here is not here, and answers so.
func TestAbsent_IsAbsent(t *testing.T) {
	absent := about.Absent()
	for _, m := range catalog.Table() {
		if absent[m.Name] != "" {
			t.Errorf("%s is here, and said not to be", m.Name)
		}
	}
	svc := catalog.New(nil, methods.Ports{})
	for _, name := range slices.Sorted(maps.Keys(absent)) {
		_, err := svc.Call(t.Context(), methods.Actor{Role: methods.Administrator}, name, methods.Params{})
		if fleet.CodeOf(err) != fleet.NotHere || fleet.ClassOf(err) != "ValueError" || !strings.Contains(err.Error(), absent[name]) {
			t.Errorf("%s: %v (%s, %s)", name, err, fleet.CodeOf(err), fleet.ClassOf(err))
		}
	}
}

const head = `# Methods

What a server answers at ` + "`/rpc`" + ` ([the wire](http.md)), and an agent of its cache. Made from the table of methods by
` + "`go test ./internal/backend/catalog -run TestReference -update`" + `.

Names, parameters and objects are opsi's. ` + "`*name`" + ` is optional; ` + "`**name`" + ` takes further parameters by name, as a filter does. An
error has opsi's class and a code of ours. *Who* lists the roles besides administrators, who may call everything: o
operator, r reader, d depot server, h host. A host sees and writes only what is its own, and the servers; secrets go to
administrators, depot servers, and the host whose they are.

## Filters and attributes

A filter has values by attribute: a value, or a list of which one must match. ` + "`*`" + ` in a text stands for any text; ` + "`null` and `\"\"`" + `
are no value; an empty list asks for nothing. A list attribute matches by any of its elements. ` + "`type`" + ` asks for types; a depot
server is meant to include the config server. An attribute that there is not is an error.

` + "`attributes`" + ` are those that come, beside the identity, ` + "`type` and `ident`" + `; none asked for is all.

## Methods of every class

| method | who reads or writes | does |
|---|---|---|
`

// row is a method in a table.
func row(out *bytes.Buffer, m *methods.Method) {
	doc := m.Doc
	if m.Deprecated {
		doc += " *Deprecated*"
		if m.Instead != "" {
			doc += ": `" + m.Instead + "`"
		}
		doc += "."
	}
	fmt.Fprintf(out, "| `%s` | %s | %s |\n", m.Signature(), who(m), strings.ReplaceAll(doc, "|", "\\|"))
}

func who(m *methods.Method) string {
	letters := ""
	for _, r := range []methods.Role{methods.Operator, methods.Reader, methods.Depot, methods.Host} {
		if slices.Contains(m.Roles, r) {
			letters += string(r[0])
		}
	}
	if letters == "" {
		return "–"
	}
	return letters
}

// generated are the methods that every class has, without its name.
var generated = []string{"getObjects", "getHashes", "getIdents", "insertObject", "createObjects", "updateObject", "updateObjects", "deleteObjects", "delete"}

func reference() []byte {
	var out bytes.Buffer
	out.WriteString(head)
	table := catalog.Table()
	named := map[string]*methods.Method{}
	for _, m := range table {
		named[m.Name] = m
	}
	for _, name := range generated {
		m := named["configState_"+name]
		fmt.Fprintf(&out, "| `CLASS_%s` | %s | %s |\n", name, map[bool]string{true: "writers", false: "readers"}[m.Writes], m.Doc)
	}
	out.WriteString("\n`updateObject` and `updateObjects` leave alone what is `null`; the others write it. In `delete` a list stands for several,\n`*` for any text, `null` and `[]` for any; all of them for nothing at all, which is refused.\n")
	listed := map[string]bool{}
	for _, c := range fleet.Classes() {
		fmt.Fprintf(&out, "\n## `%s`\n\n", c.Name)
		if len(c.Types) > 1 {
			fmt.Fprintf(&out, "Types: `%s`.\n\n", strings.Join(c.Types, "`, `"))
		}
		out.WriteString("| attribute | kind | default | |\n|---|---|---|---|\n")
		for _, col := range c.Columns {
			fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", col.Name, kinds[col.Kind], fallback(col), remarks(col))
		}
		if c.Open {
			out.WriteString("| further ones | text, number or truth |  | by `hardwareClass`: `auditHardware_getConfig` |\n")
		}
		out.WriteString("\n| method | who | does |\n|---|---|---|\n")
		for _, m := range table {
			if m.Class == c || strings.HasPrefix(m.Name, c.Name+"_") {
				listed[m.Name] = true
				row(&out, m)
			}
		}
	}
	out.WriteString("\n## Others\n\n| method | who | does |\n|---|---|---|\n")
	for _, m := range table {
		if !listed[m.Name] {
			row(&out, m)
		}
	}
	out.WriteString("\n## Not here\n\nMethods of opsi that answer with an error of the class `ValueError`, as an unknown method does.\n\n| method | why |\n|---|---|\n")
	absent := about.Absent()
	for _, name := range slices.Sorted(maps.Keys(absent)) {
		fmt.Fprintf(&out, "| `%s` | %s |\n", name, absent[name])
	}
	out.WriteString("\nOf the 175 methods that opsi itself calls deprecated, those that scripts use are above; the others are unknown here.\n")
	return out.Bytes()
}

var kinds = map[fleet.Kind]string{fleet.String: "text", fleet.Bool: "truth", fleet.Int: "number", fleet.List: "list", fleet.Time: "time"}

func fallback(col *fleet.Column) string {
	switch v := col.Default.(type) {
	case nil:
		return ""
	case string:
		return fmt.Sprintf("`%q`", v)
	default:
		return fmt.Sprintf("`%v`", v)
	}
}

func remarks(col *fleet.Column) string {
	var out []string
	add := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	add(col.Ident, "identity")
	add(len(col.Allowed) > 0, "one of `"+strings.Join(col.Allowed, "`, `")+"`")
	add(col.Lower, "in lower case")
	add(len(col.Types) > 0, "of "+strings.Join(col.Types, ", "))
	add(col.Secret, "secret")
	add(col.Private, "not for other hosts")
	add(col.Stamp != "", "set by the service")
	if col.Within != nil {
		out = append(out, fmt.Sprintf("from %d to %d", col.Within[0], col.Within[1]))
	}
	if col.Least != nil {
		out = append(out, fmt.Sprintf("at least %d", *col.Least))
	}
	return strings.Join(out, "; ")
}
