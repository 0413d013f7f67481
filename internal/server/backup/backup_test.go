package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// forged is a backup of members as somebody made it, with right sums.
func forged(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	packed, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(packed)
	c := Contents{Layout: layout}
	put := func(h *tar.Header, text string) {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(text))
			sum := sha256.Sum256([]byte(text))
			c.Members = append(c.Members, Member{h.Name, h.Size, hex.EncodeToString(sum[:])})
		}
	}
	put(&tar.Header{Name: rowsFile, Typeflag: tar.TypeReg, Mode: 0o600}, "rows")
	for _, h := range headers {
		put(h, "text")
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	put(&tar.Header{Name: contentsFile, Typeflag: tar.TypeReg, Mode: 0o600}, string(text))
	w.Close()
	packed.Close()
	return out.Bytes()
}

func file(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.backup")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestForgedIsGoodOtherwise(t *testing.T) {
	name := file(t, forged(t, &tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o600}))
	if c, err := Check(t.Context(), name); err != nil || len(c.Members) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Nothing that a file names lies outside of the folder where it is unpacked.
func TestHostileMembers(t *testing.T) {
	outside := t.TempDir()
	for name, h := range map[string][]*tar.Header{
		"above":          {{Name: "../x", Typeflag: tar.TypeReg}},
		"absolute":       {{Name: "/etc/x", Typeflag: tar.TypeReg}},
		"not clean":      {{Name: "a//b", Typeflag: tar.TypeReg}},
		"a device":       {{Name: "dev", Typeflag: tar.TypeChar}},
		"a hard link":    {{Name: "hard", Linkname: "/etc/passwd", Typeflag: tar.TypeLink}},
		"through a link": {{Name: "out", Linkname: outside, Typeflag: tar.TypeSymlink}, {Name: "out/x", Typeflag: tar.TypeReg, Mode: 0o600}},
		"twice":          {{Name: "a", Typeflag: tar.TypeReg, Mode: 0o600}, {Name: "a", Typeflag: tar.TypeReg, Mode: 0o600}},
	} {
		t.Run(name, func(t *testing.T) {
			name := file(t, forged(t, h...))
			_, err := Check(t.Context(), name)
			if err == nil {
				err = Extract(t.Context(), name, t.TempDir(), func(io.Reader) error { return nil })
			}
			if err == nil {
				t.Error("it is unpacked")
			}
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("outside is %v", left)
			}
		})
	}
}

// Links, modes and times of a depot come back; what is under way stays out.
func TestTrees(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(filepath.Join(dir, "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := store.Open(t.Context(), db, time.Now); err != nil {
		t.Fatal(err)
	}
	depot := filepath.Join(dir, "depot")
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	for name, mode := range map[string]os.FileMode{"p/run.sh": 0o755, "p/.hidden": 0o644, ".manifests/p-1": 0o644, ".staging/p-2/x": 0o644, ".lock": 0o600} {
		full := filepath.Join(depot, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(full, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("run.sh", filepath.Join(depot, "p", "link")); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "x.backup")
	if _, err := Write(t.Context(), name, Source{DB: db, Data: dir, Keep: []string{"missing"}, Depot: depot, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := Extract(t.Context(), name, to, func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(to, "depot/p/run.sh"))
	if err != nil || info.Mode().Perm() != 0o755 || !info.ModTime().Equal(at) {
		t.Errorf("%v, %v", info, err)
	}
	if link, err := os.Readlink(filepath.Join(to, "depot/p/link")); err != nil || link != "run.sh" {
		t.Errorf("%q, %v", link, err)
	}
	for name, want := range map[string]bool{"depot/p/.hidden": true, "depot/.manifests/p-1": true, "depot/.staging": false, "depot/.lock": false} {
		if _, err := os.Stat(filepath.Join(to, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(gone, filepath.Join(dir, "y.backup"), Source{DB: db, Data: dir, Now: time.Now}); err == nil {
		t.Error("written although nobody waits")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".atomicfile-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(forged(f, &tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o600}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Check(t.Context(), file(t, data)); err == nil && len(c.Members) == 0 {
			t.Error("good, and empty")
		}
	})
}
