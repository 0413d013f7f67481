package fernwerk_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A rule finds its faults in a house. Why is told with each fault.
type rule struct {
	name, why string
	check     func(*house) []string
}

var rules = []rule{
	{"imports", "the six words are cut by purity, so that each has one import line", imports},
	{"siblings", "the parts of a program meet in one place, server.go or agent.go, by small interfaces", siblings},
	{"one library", "a kit package wraps one library; two are two packages", oneLibrary},
	{"agent links", "the agent runs on small, old, far-away machines: each module in it has a reason", agentLinks},
	{"no clock", "what we talk about is pure: a caller hands in the time", noClock},
	{"SQL", "two engines stay alike only when one package knows SQL", sqlText},
	{"comments", "a package says why it exists", packageComments},
	{"sizes", "a room that grows past this wants splitting", sizes},
	{"names", "a drawer named after nothing attracts everything", names},
	{"sleeps", "a test waits for a condition, or runs in a synctest bubble", sleeps},
	{"leftovers", "a part that is not built is an error that says so, not a note", leftovers},
}

// A line of the import table: what the packages within dir may import directly. Standard library
// packages are free unless named in notStd.
type line struct {
	dir        string
	ours       []string // folders of this module
	notOurs    []string // but not these
	modules    []string // module paths; nil for any
	notModules []string // but not these
	notStd     []string
}

var (
	outside = []string{"os", "net", "database/sql", "syscall", "io/ioutil"}
	pure    = []string{"net/netip", "net/url", "net/mail", "net/textproto"} // of what lies below outside
	crypto  = []string{"golang.org/x/crypto", "github.com/ProtonMail/go-crypto", "github.com/theupdateframework/go-tuf/v2"}
	drivers = []string{"modernc.org/sqlite", "github.com/jackc/pgx/v5"}
	engines = []string{"internal/kit/sqldb/sqlite", "internal/kit/sqldb/postgres"}
)

// table is the import table. The first line whose dir holds a package counts, so a narrower dir
// stands before a wider one.
var table = []line{
	{dir: "internal/fleet/archive", ours: []string{"internal/fleet"}, notStd: outside,
		modules: slices.Concat(crypto, []string{"github.com/klauspost/compress"})},
	{dir: "internal/fleet/control", ours: []string{"internal/fleet"}, notStd: outside,
		modules: slices.Concat(crypto, []string{"github.com/pelletier/go-toml/v2"})},
	{dir: "internal/fleet", ours: []string{"internal/fleet"}, modules: crypto, notStd: outside},
	{dir: "internal/kit", ours: []string{"internal/kit"}},
	{dir: "internal/backend", ours: []string{"internal/fleet", "internal/backend", "internal/kit"}, notOurs: engines, notModules: drivers},
	{dir: "internal/server", ours: []string{"internal/fleet", "internal/backend", "internal/kit", "internal/server"}},
	{dir: "internal/agent", ours: []string{"internal/fleet", "internal/backend", "internal/kit", "internal/agent"}},
	{dir: "internal/ctl", ours: []string{"internal/fleet", "internal/backend/rpc", "internal/backend/methods", "internal/backend/catalog", "internal/kit", "internal/ctl"},
		notOurs: engines, notModules: drivers},
	{dir: "cmd/fernwerkd", ours: []string{"internal/server", "internal/kit"}},
	{dir: "cmd/fernwerk-agent", ours: []string{"internal/agent", "internal/kit"}},
	{dir: "cmd/fernwerk-mesh", ours: []string{"internal/kit"}},
	{dir: "cmd/fernwerk", ours: []string{"internal/ctl", "internal/kit"}},
	{dir: "test", ours: []string{"internal", "test"}},
	{dir: ".", ours: []string{}},
}

func imports(h *house) (faults []string) {
	for _, r := range h.packages {
		i := slices.IndexFunc(table, func(l line) bool { return within(r.folder, l.dir) })
		if i < 0 {
			faults = append(faults, r.folder+" has no place in the tree")
			continue
		}
		for _, imported := range sorted(r.imports) {
			if why := table[i].refuses(r, imported); why != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", r.folder, imported, why))
			}
		}
	}
	return faults
}

// refuses says why r may not import a package, or nothing.
func (l line) refuses(r *room, imported string) string {
	folder, ours := own(imported)
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case forTests(imported) && !forTests(r.folder):
		return "only tests and packages for tests may"
	case ours && (!withinAny(folder, l.ours) || withinAny(folder, l.notOurs)):
		return "not on the line of " + l.dir
	case ours:
		return ""
	case !strings.Contains(first, "."): // standard library
		if withinAny(imported, l.notStd) && !slices.Contains(pure, imported) {
			return l.dir + " touches nothing outside the process"
		}
		return ""
	case withinAny(imported, l.notModules), l.modules != nil && !withinAny(imported, l.modules):
		return "module not on the line of " + l.dir
	}
	return ""
}

// forTests says whether a package exists for tests only: testing, test/..., and those whose name
// ends in test.
func forTests(importPath string) bool {
	folder, ours := own(importPath)
	if !ours {
		folder = importPath
	}
	return folder == "testing" || within(folder, "testing") || within(folder, "test") && folder != "." ||
		strings.HasPrefix(folder, "internal/") && strings.HasSuffix(folder, "test")
}

// siblingsAllowed lists the packages of a program that may import others beside them.
var siblingsAllowed = map[string]string{
	"internal/server/command":  "the command line of fernwerkd: it stands above the server",
	"internal/server/grid":     "what follows from a node that appears: it stands above its tunnels, presence, names and schedulers",
	"internal/agent/command":   "the command line of fernwerk-agent: it stands above the agent",
	"internal/agent/grid":      "the machine as a node: it stands above its tunnels and its mesh",
	"internal/agent/rebooting": "reboots: it stands above their requests, the control interface and the platform",
	"internal/agent/updating":  "run-once updates: it stands above their runner and the control interface",
}

func siblings(h *house) (faults []string) {
	for _, r := range h.packages {
		for _, word := range []string{"internal/server", "internal/agent"} {
			part, inside := strings.CutPrefix(r.folder, word+"/")
			if !inside || siblingsAllowed[r.folder] != "" {
				continue
			}
			part, _, _ = strings.Cut(part, "/")
			for _, imported := range sorted(r.imports) {
				if folder, ok := own(imported); ok && within(folder, word) && !within(folder, word+"/"+part) {
					faults = append(faults, fmt.Sprintf("%s imports its sibling %s", r.folder, folder))
				}
			}
		}
	}
	return faults
}

func oneLibrary(h *house) (faults []string) {
	for _, r := range h.packages {
		if !within(r.folder, "internal/kit") {
			continue
		}
		libraries := make(map[string]bool)
		for imported := range r.imports {
			parts := strings.Split(imported, "/")
			_, ours := own(imported)
			if ours || !strings.Contains(parts[0], ".") || within(imported, "golang.org/x") {
				continue
			}
			elements := 3
			if parts[0] == "filippo.io" { // a host that is its owner
				elements = 2
			}
			libraries[path.Join(parts[:min(elements, len(parts))]...)] = true
		}
		if len(libraries) > 1 {
			faults = append(faults, fmt.Sprintf("%s imports %s", r.folder, strings.Join(sorted(libraries), " and ")))
		}
	}
	return faults
}

func agentLinks(h *house) (faults []string) {
	if len(h.agent) == 0 {
		return []string{"cmd/fernwerk-agent links nothing: is it gone?"}
	}
	for _, linked := range sorted(h.agent) {
		if agentModules[linked] == "" {
			faults = append(faults, linked+" is linked, but not on the list")
		}
	}
	for listed := range agentModules {
		if !h.agent[listed] {
			faults = append(faults, listed+" is on the list, but not linked")
		}
	}
	slices.Sort(faults)
	return faults
}

var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func noClock(h *house) (faults []string) {
	inFleet := func(r *room, f *file) bool { return within(r.folder, "internal/fleet") && !f.test() }
	h.each(inFleet, func(_ *room, _ *file, at string, n ast.Node) {
		if name := selected(n, "time"); slices.Contains(clock, name) {
			faults = append(faults, at+" asks the clock: time."+name)
		}
	})
	return faults
}

// selected returns NAME when n is the expression pkg.NAME, else nothing.
func selected(n ast.Node, pkg string) string {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
			return s.Sel.Name
		}
	}
	return ""
}

// statement finds SQL in a string: upper-case words anywhere, a statement's first words also in
// lower case where they begin the string.
var statement = regexp.MustCompile(`(?s)^\s*(SELECT|WITH\s\w+\sAS)\s|\bSELECT\s.*\sFROM\s|` +
	`\bINSERT\s+(OR\s+\w+\s+)?INTO\s|\bUPDATE\s+\S+\s+SET\s|\bDELETE\s+FROM\s|\b(CREATE|ALTER|DROP)\s+(TABLE|UNIQUE\s+INDEX|INDEX|VIEW|TRIGGER)\s|` +
	`^\s*(?i:insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|(create|alter|drop)\s+(table|unique\s+index|index|view|trigger)\s)`)

func sqlText(h *house) (faults []string) {
	mayHold := func(folder string) bool {
		return within(folder, "internal/backend/store") || path.Base(folder) == "migrations" ||
			folder == "test/bench" // raw SQL is a peer there
	}
	elsewhere := func(r *room, f *file) bool { return !f.test() && !mayHold(r.folder) }
	h.each(elsewhere, func(_ *room, _ *file, at string, n ast.Node) {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && statement.MatchString(text) {
				faults = append(faults, fmt.Sprintf("%s holds SQL: %.60q", at, text))
			}
		}
	})
	for _, name := range h.sql {
		if folder := path.Dir(name); !mayHold(folder) {
			faults = append(faults, name+" holds SQL")
		}
	}
	return faults
}

func packageComments(h *house) (faults []string) {
	for _, r := range h.packages {
		onlyTests := !slices.ContainsFunc(r.files, func(f *file) bool { return !f.test() })
		if !slices.ContainsFunc(r.files, func(f *file) bool {
			start := "Package " + f.ast.Name.Name + " "
			if f.ast.Name.Name == "main" {
				start = "Command " + path.Base(r.folder) + " "
			}
			return (onlyTests || !f.test()) && strings.HasPrefix(f.ast.Doc.Text(), start)
		}) {
			faults = append(faults, r.folder+` has no comment that begins with "Package name" or "Command name"`)
		}
	}
	return faults
}

const (
	mostFile    = 500
	mostPackage = 2000
	mostMain    = 60
)

func sizes(h *house) (faults []string) {
	for _, r := range h.packages {
		total := 0
		for _, f := range r.files {
			if f.test() {
				continue
			}
			total += f.lines
			if f.lines > mostFile {
				faults = append(faults, fmt.Sprintf("%s has %d lines, more than %d", path.Join(r.folder, f.name), f.lines, mostFile))
			}
		}
		most := mostPackage
		if within(r.folder, "cmd") {
			most = mostMain
		}
		if total > most && !strings.HasSuffix(path.Base(r.folder), "test") { // a package of cases, as of a suite, is tests
			faults = append(faults, fmt.Sprintf("%s has %d lines, more than %d", r.folder, total, most))
		}
	}
	return faults
}

var (
	emptyWords = []string{"util", "utils", "common", "helper", "helpers", "manager", "impl", "misc", "shared"}
	drawers    = []string{"types", "interfaces"}
)

func names(h *house) (faults []string) {
	for _, r := range h.packages {
		if slices.Contains(emptyWords, path.Base(r.folder)) {
			faults = append(faults, r.folder+" is named after nothing")
		}
		for _, f := range r.files {
			if noun := strings.TrimSuffix(f.name, ".go"); slices.Contains(emptyWords, noun) || slices.Contains(drawers, noun) {
				faults = append(faults, path.Join(r.folder, f.name)+" is named after nothing")
			}
		}
	}
	return faults
}

func sleeps(h *house) (faults []string) {
	bubbles := make(map[*file][]ast.Node) // calls of synctest.Test; Inspect meets them before what they hold
	h.each(func(_ *room, f *file) bool { return f.test() }, func(_ *room, f *file, at string, n ast.Node) {
		if call, ok := n.(*ast.CallExpr); ok && selected(call.Fun, "synctest") == "Test" {
			bubbles[f] = append(bubbles[f], call)
		}
		inside := func(bubble ast.Node) bool { return bubble.Pos() <= n.Pos() && n.End() <= bubble.End() }
		if selected(n, "time") == "Sleep" && !slices.ContainsFunc(bubbles[f], inside) {
			faults = append(faults, at+" sleeps")
		}
	})
	return faults
}

var leftover = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func leftovers(h *house) (faults []string) {
	for _, r := range h.packages {
		for _, f := range r.files {
			for _, group := range f.ast.Comments {
				if word := leftover.FindString(group.Text()); word != "" {
					faults = append(faults, fmt.Sprintf("%s:%d says %s", path.Join(r.folder, f.name), f.set.Position(group.Pos()).Line, word))
				}
			}
		}
	}
	return faults
}
