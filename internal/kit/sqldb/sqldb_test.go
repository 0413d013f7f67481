package sqldb_test

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

func TestRebind(t *testing.T) {
	const query = `INSERT INTO "t" VALUES (?, ?) ON CONFLICT DO UPDATE SET "ä" = ?`
	if got := sqldb.SQLite.Rebind(query); got != query {
		t.Errorf("SQLite: %s", got)
	}
	if got, want := sqldb.PostgreSQL.Rebind(query), `INSERT INTO "t" VALUES ($1, $2) ON CONFLICT DO UPDATE SET "ä" = $3`; got != want {
		t.Errorf("PostgreSQL: %s", got)
	}
}

// What a pattern finds on a real engine is tested in backend/store.
func TestGlob(t *testing.T) {
	for _, tt := range []struct{ pattern, sqlite, postgres string }{
		{"a*b", "a*b", "a%b"},
		{"50%_off*", "50%_off*", `50\%\_off%`},
		{`[a-z]?\*`, `[[]a-z][?]\*`, `[a-z]?\\%`},
		{"", "", ""},
	} {
		if got := sqldb.SQLite.Glob(tt.pattern); got != tt.sqlite {
			t.Errorf("SQLite: %q becomes %q, want %q", tt.pattern, got, tt.sqlite)
		}
		if got := sqldb.PostgreSQL.Glob(tt.pattern); got != tt.postgres {
			t.Errorf("PostgreSQL: %q becomes %q, want %q", tt.pattern, got, tt.postgres)
		}
	}
}
