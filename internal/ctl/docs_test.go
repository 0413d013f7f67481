package ctl

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

var update = flag.Bool("update", false, "write docs/reference/fernwerk.md anew")

// TestReference holds the page to the commands.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "fernwerk.md")
	want := reference(root(tool.New(tool.System{In: bytes.NewReader(nil), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Getenv: func(string) string { return "" }})))
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/reference/fernwerk.md is not what the commands say; write it with: go test ./internal/ctl -run TestReference -update\n%s", diff)
	}
}
