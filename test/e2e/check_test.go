package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// The checks of the kill test must be able to fail.

func TestOrderFaults_Fires(t *testing.T) {
	for name, c := range map[string]struct {
		log string
		ok  bool
	}{
		"in order":               {"a begins\na ends\nb begins\nb ends\n", true},
		"interrupted and again":  {"a begins\na begins\na ends\nb begins\nb begins\nb ends\n", true},
		"done twice":             {"a begins\na ends\na begins\na ends\nb begins\nb ends\n", true},
		"not ended":              {"a begins\na ends\nb begins\n", false},
		"interrupted at the end": {"a begins\na ends\nb begins\nb ends\nb begins\n", false},
		"did not wait":           {"a begins\nb begins\na ends\nb ends\n", false},
		"wrong order":            {"b begins\nb ends\na begins\na ends\n", false},
		"one is missing":         {"a begins\na ends\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			j := &journey{target: t.TempDir(), products: []product{{id: "a"}, {id: "b", needs: "a"}}}
			write(t, filepath.Join(j.target, "run.log"), []byte(c.log))
			if err := j.orderFaults(); (err == nil) != c.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestLeftovers_Fires(t *testing.T) {
	for _, name := range []string{
		"cache/staging/a/file", "cache/depot/.old-a", "cache/index/.atomicfile-1", "tmp/fernwerk-action-1", "log/.atomicfile-1", ".atomicfile-1",
	} {
		t.Run(name, func(t *testing.T) {
			j := &journey{agent: &site.Agent{Data: t.TempDir()}, products: []product{{id: "a"}}}
			write(t, filepath.Join(j.agent.Data, "cache", "depot", "a", "file"), nil)
			write(t, filepath.Join(j.agent.Data, "cache", "index", "a.digest"), nil)
			if err := j.leftovers(); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(j.agent.Data, filepath.FromSlash(name)), nil)
			if j.leftovers() == nil {
				t.Error("not noticed")
			}
		})
	}
}

func TestToldOf_Fires(t *testing.T) {
	const (
		first  = "=== a 1.0-1 setup, attempt 1, T\n=== b 1.0-1 setup, attempt 1, T\n"
		second = "=== b 1.0-1 setup, attempt 2, T (the attempt before was interrupted)\n"
	)
	for name, c := range map[string]struct {
		log   string
		tasks []string
		ok    bool
	}{
		"undisturbed":     {first, nil, true},
		"fetch":           {first, []string{"cache_products"}, true},
		"action":          {first + second, []string{"action b"}, true},
		"not said":        {first, []string{"action b"}, false},
		"said too much":   {first + second, nil, false},
		"lost":            {"", nil, false},
		"only the second": {second, []string{"action b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := toldOf(c.log, c.tasks, 2); (err == nil) != c.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestIntegrity_Fires(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.db")
	db, err := sqlite.Open(path)
	must(t, err)
	_, err = db.Write.ExecContext(t.Context(), `CREATE TABLE numbers (n INTEGER); INSERT INTO numbers
		WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM c WHERE n < 20000) SELECT n FROM c`)
	must(t, err)
	must(t, db.Close())
	must(t, integrity(t.Context(), path))

	data, err := os.ReadFile(path)
	must(t, err)
	for i := len(data) / 2; i < len(data)/2+4096; i++ {
		data[i] = 0xa5
	}
	must(t, os.WriteFile(path, data, 0o600))
	if integrity(t.Context(), path) == nil {
		t.Error("a damaged database passed")
	}
}
