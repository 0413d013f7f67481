package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/require"
)

// office runs a suite with a product of many small files.
func officeSuite(t *testing.T, name string) *bench {
	t.Helper()
	require.Root(t)
	require.Tool(t, "smbd")
	require.Tool(t, "smbclient")
	source := t.TempDir()
	for i := range 300 {
		file := filepath.Join(source, fmt.Sprintf("folder%d", i%10), fmt.Sprintf("file%d.txt", i))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Repeat(fmt.Sprintf("line %d of a file\n", i), 200)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	b := &bench{out: &out, source: source, scratch: t.TempDir()}
	if err := suites[name](t.Context(), b); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	b.table()
	t.Log(out.String())
	return b
}

// Seed A: installing from the cache is at least as fast as from an office network.
func TestInstall_FromTheCacheBesideAnOffice(t *testing.T) {
	b := officeSuite(t, "install")
	n := 0
	for _, f := range b.figures {
		if strings.HasPrefix(f.PeerName, "from Samba") {
			n++
			if f.Ratio < 1 {
				t.Errorf("from the cache %.2f s, %s %.2f s", f.Ours, f.PeerName, f.Peer)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d figures beside Samba: %+v", n, b.figures)
	}
}

// Seed A: with webdav the depot's service has the load. It is measured, and stated.
func TestDepot_LoadIsMeasured(t *testing.T) {
	b := officeSuite(t, "depot")
	for _, f := range b.figures {
		if f.Ours < 0 || f.Unit == "requests" && f.Ours >= f.Peer {
			t.Errorf("%+v", f)
		}
	}
	page, err := os.ReadFile(filepath.FromSlash("../../docs/howto/cifs.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"make bench B=depot", "requests", "s/GB", "Samba"} {
		if !strings.Contains(string(page), word) {
			t.Errorf("docs/howto/cifs.md does not state the load: no %q", word)
		}
	}
	if len(b.figures) != 5 {
		t.Errorf("%d figures", len(b.figures))
	}
}
