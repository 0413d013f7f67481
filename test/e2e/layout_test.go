package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// laidOut checks that the page of the data folders knows what lies in one, under a
// heading of it.
func laidOut(t *testing.T, heading, dir string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "files-layout.md"))
	must(t, err)
	_, part, ok := strings.Cut(string(page), "\n## "+heading)
	if !ok {
		t.Fatalf("the page has no heading %s", heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	in, err := os.ReadDir(dir)
	must(t, err)
	if len(in) < 3 {
		t.Errorf("there is nearly nothing in %s", dir)
	}
	for _, e := range in {
		known := false
		for _, end := range []string{"`", "/"} {
			known = known || strings.Contains(part, "`"+e.Name()+end) || strings.Contains(part, "`DIR/"+e.Name()+end)
		}
		base := strings.TrimSuffix(strings.TrimSuffix(e.Name(), "-wal"), "-shm") // stand beside the database's name
		if !known && (base == e.Name() || !strings.Contains(part, base+"` (`-wal`, `-shm`") && !strings.Contains(part, base+"` (`-wal`,")) {
			t.Errorf("docs/reference/files-layout.md does not say what %s is", filepath.Join(dir, e.Name()))
		}
	}
}

// The page of the data folders is complete: for a server and an agent that have worked.
func TestFilesLayout(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := host(t, s, s.URL(), "pc1.layout.test")
	must(t, a.Start(t.Context()))
	await(t, "the agent is idle", idle(t, a))
	laidOut(t, "Server", s.Data)
	laidOut(t, "Agent", a.Data)
}
