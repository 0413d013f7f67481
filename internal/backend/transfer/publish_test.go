package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// folder is a folder below dir with one file that says which copy it is.
func folder(t *testing.T, dir, name, copyName string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if copyName == "" {
		return path
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "which"), []byte(copyName), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func which(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path, "which"))
	if err != nil {
		return ""
	}
	return string(b)
}

func TestPublish(t *testing.T) {
	none := func(string, string) error { return atomicfile.ErrNotSupported }
	for name, exchange := range map[string]func(a, b string) error{"exchange": atomicfile.Exchange, "renames": none} {
		for _, old := range []string{"", "old"} {
			dir := t.TempDir()
			staging, final := folder(t, dir, "stage", "new"), folder(t, dir, "product", old)
			if err := publish(staging, final, exchange); err != nil {
				t.Fatal(err)
			}
			if got := which(t, final); got != "new" {
				t.Errorf("%s: published %q", name, got)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%s: left %v", name, left)
			}
		}
	}
	dir := t.TempDir()
	final := folder(t, dir, "product", "old")
	if err := Publish(filepath.Join(dir, "missing"), final); err == nil || which(t, final) != "old" {
		t.Errorf("published nothing: %v, %q", err, which(t, final))
	}
	if err := publish(filepath.Join(dir, "missing"), final, none); err == nil || which(t, final) != "old" {
		t.Errorf("published nothing by renames: %v, %q", err, which(t, final))
	}
	refuse := errors.New("no")
	staging := folder(t, dir, "stage", "new")
	if err := publish(staging, final, func(string, string) error { return refuse }); !errors.Is(err, refuse) || which(t, final) != "old" {
		t.Errorf("error %v", err)
	}
}

// What a crash can leave between the steps of publishing by renames.
func TestRecover(t *testing.T) {
	for _, tt := range []struct{ name, final, aside, stage, want string }{
		{"nothing happened", "old", "", "new", "old"},
		{"the old copy is aside", "", "old", "new", "old"},
		{"the new copy is in place", "new", "old", "", "new"},
		{"never published", "", "", "new", ""},
	} {
		dir := t.TempDir()
		final := folder(t, dir, "product", tt.final)
		folder(t, dir, ".old-product", tt.aside)
		staging := folder(t, dir, "stage", tt.stage)
		for range 2 {
			if err := Recover(final); err != nil {
				t.Fatal(err)
			}
		}
		if got := which(t, final); got != tt.want || which(t, staging) != tt.stage || which(t, aside(final)) != "" {
			t.Errorf("%s: recovered %q, staging %q", tt.name, got, which(t, staging))
		}
	}
}
