package fernwerk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/where"
)

// link finds [words](target) in Markdown, without targets elsewhere.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

// TestDocumentLinks follows each relative link of each Markdown file.
func TestDocumentLinks(t *testing.T) {
	followed := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".md"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			followed++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: link to nothing: %v", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if followed == 0 {
		t.Error("no link found: does the test still read the documents?")
	}
}

// named finds `folder.TestName` and `folder.TestName/subtest`.
var named = regexp.MustCompile("`((?:test|internal|cmd)[a-z0-9/]*)\\.(Test\\w+)(?:/\\w+)?`")

// TestAttacks_EveryTest looks for the tests that the pages about attacks name.
func TestAttacks_EveryTest(t *testing.T) {
	found := map[string]bool{}
	for _, page := range []string{"attacks.md", "what-the-server-cannot-do.md"} {
		text, err := os.ReadFile(filepath.Join("docs", "explanation", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if found[m[1]+m[2]] = hasTest(t, m[1], m[2]); !found[m[1]+m[2]] {
				t.Errorf("docs/explanation/%s: no test %s in %s", page, m[2], m[1])
			}
		}
	}
	if len(found) < 30 {
		t.Errorf("only %d tests are named: were rows lost?", len(found))
	}
	if hasTest(t, ".", "TestNobodyWroteThis"+"One") {
		t.Error("a test is found that is not there")
	}
}

// hasTest tells whether a folder's tests have a function.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

// TestAgentConf_EveryKey holds the reference to the list that the agent reads by.
func TestAgentConf_EveryKey(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "reference", "agent-conf.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range wrongKeys(string(text), conf.Keys()) {
		t.Error("docs/reference/agent-conf.md: ", what)
	}
}

// TestConditions_EveryFact holds the page to the table of facts.
func TestConditions_EveryFact(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "reference", "conditions.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range where.Table {
		kind := map[where.Kind]string{where.Text: "text", where.Age: "age", where.Version: "version"}[k.Kind]
		if !strings.Contains(string(text), "\n| `"+k.Name+"` | "+kind+" | ") {
			t.Errorf("docs/reference/conditions.md: no row for %s (%s)", k.Name, kind)
		}
	}
	if rows := strings.Count(string(text), "\n| `"); rows != len(where.Table) {
		t.Errorf("docs/reference/conditions.md: %d rows, there are %d facts", rows, len(where.Table))
	}
}

func TestAgentConf_Fires(t *testing.T) {
	keys := []conf.Key{
		{Section: "a", Name: "old", Kind: conf.Int, Default: "1", Class: conf.Data},
		{Section: "a", Name: "new", Kind: conf.Bool, Class: conf.Trust},
	}
	const text = "## `[a]`\n| `old` | integer | `2` | data | x |\n| `gone` | list | | data | x |\n"
	got := strings.Join(wrongKeys(text, keys), "; ")
	for _, want := range []string{"[a] old: default", "[a] new: missing", "[a] gone: no such key"} {
		if !strings.Contains(got, want) {
			t.Errorf("no complaint %q in %q", want, got)
		}
	}
}

// wrongKeys compares the tables of a reference, one below each "## `[section]`",
// with the keys that there are.
func wrongKeys(text string, keys []conf.Key) (wrong []string) {
	rows := map[string][]string{} // cells by section and key
	section := ""
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.Trim(strings.TrimSpace(title), "`")
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if name := strings.Trim(cells[0], " `"); strings.HasPrefix(section, "[") && strings.HasPrefix(line, "| `") && len(cells) == 5 {
			rows[section+" "+name] = cells
		}
	}
	for _, k := range keys {
		id := "[" + k.Section + "] " + k.Name
		cells, there := rows[id]
		delete(rows, id)
		switch {
		case !there:
			wrong = append(wrong, id+": missing")
		case k.Default != "" && strings.Trim(cells[2], " `") != k.Default:
			wrong = append(wrong, id+": default is "+k.Default)
		case strings.TrimSpace(cells[3]) != string(k.Class):
			wrong = append(wrong, id+": class is "+string(k.Class))
		case len(k.Values) == 0 && !strings.HasPrefix(strings.TrimSpace(cells[1]), string(k.Kind)):
			wrong = append(wrong, id+": value is "+string(k.Kind))
		case len(k.Values) > 0 && !strings.Contains(cells[1], strings.Join(k.Values, ", ")):
			wrong = append(wrong, id+": value is one of "+strings.Join(k.Values, ", "))
		}
	}
	for id := range rows {
		wrong = append(wrong, id+": no such key")
	}
	return wrong
}
