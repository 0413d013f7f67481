package shell

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree describes what is below dir: mode, content or target, time.
func tree(t *testing.T, dir string, times bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + target
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		}
		if times && info.Mode().Type() != fs.ModeSymlink {
			text += " " + info.ModTime().UTC().Format(time.RFC3339Nano)
		}
		found[rel] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func write(t *testing.T, path, content string, perm fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), perm); err != nil {
		t.Fatal(err)
	}
}

func TestCopy_KeepsModesLinksAndTimes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links of Unix")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "s/bin/tool"), "#!", 0o755)
	write(t, filepath.Join(dir, "s/doc/read me"), "text", 0o640)
	write(t, filepath.Join(dir, "s/locked/f"), "x", 0o600)
	for _, err := range []error{
		os.Symlink("bin/tool", filepath.Join(dir, "s/link")),
		os.Symlink("/nowhere", filepath.Join(dir, "s/dangling")),
		os.Symlink("..", filepath.Join(dir, "s/bin/up")),
		os.Chtimes(filepath.Join(dir, "s/doc"), time.Unix(1e9, 0), time.Unix(1e9, 5)),
		os.Chtimes(filepath.Join(dir, "s/bin/tool"), time.Unix(1e9, 0), time.Unix(1e9, 7)),
		os.Chmod(filepath.Join(dir, "s/locked"), 0o500),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, d := range []string{"s", "r", "a"} {
			os.Chmod(filepath.Join(dir, d, "locked"), 0o700)
		}
	})
	exit, _, errOut, err := run(t, dir, `cp -r s r && cp -a s a && cp s/link file`, nil)
	if err != nil || exit != 0 {
		t.Fatal(exit, errOut, err)
	}
	if diff := cmp.Diff(tree(t, filepath.Join(dir, "s"), false), tree(t, filepath.Join(dir, "r"), false)); diff != "" {
		t.Errorf("cp -r:\n%s", diff)
	}
	if diff := cmp.Diff(tree(t, filepath.Join(dir, "s"), true), tree(t, filepath.Join(dir, "a"), true)); diff != "" {
		t.Errorf("cp -a:\n%s", diff)
	}
	if info, err := os.Lstat(filepath.Join(dir, "file")); err != nil || info.Mode() != 0o755 {
		t.Errorf("a link copied without -r is not the file that it leads to: %v, %v", info, err)
	}
}

func TestLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links of Unix")
	}
	dir := t.TempDir()
	exit, out, errOut, err := run(t, dir, `echo 1 >a; echo 2 >b; ln -s a l; ln -sf b l; cat l; ln a h; mkdir d; ln -s ../a d; cat d/a; ln -s a l`, nil)
	if err != nil || exit != 1 || out != "2\n1\n" {
		t.Errorf("exit %d, out %q, %q, %v", exit, out, errOut, err)
	}
}

func TestMove_BetweenFileSystems(t *testing.T) {
	other := "/dev/shm"
	if info, err := os.Stat(other); err != nil || !info.IsDir() {
		t.Skip("there is no second file system here")
	}
	far, err := os.MkdirTemp(other, "shell-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(far) })
	dir := t.TempDir()
	write(t, filepath.Join(dir, "s/bin/tool"), "#!", 0o755)
	before := tree(t, filepath.Join(dir, "s"), true)
	exit, out, errOut, err := run(t, dir, fmt.Sprintf(`mv s %s/t; ls`, far), nil)
	if err != nil || exit != 0 || out != "" {
		t.Fatalf("exit %d, out %q, %q, %v", exit, out, errOut, err)
	}
	if diff := cmp.Diff(before, tree(t, filepath.Join(far, "t"), true)); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkCopyTree copies 11,000 files of 12 KB, the size of the Go
// toolchain's sources.
func BenchmarkCopyTree(b *testing.B) {
	dir := b.TempDir()
	content := make([]byte, 12<<10)
	for i := range 11_000 {
		path := filepath.Join(dir, "s", fmt.Sprint(i/100), fmt.Sprint(i%100))
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(11_000 * int64(len(content)))
	for i := 0; b.Loop(); i++ {
		to := filepath.Join(dir, fmt.Sprint("d", i))
		if err := copyTree(b.Context(), filepath.Join(dir, "s"), to, copyRules{recursive: true}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		os.RemoveAll(to)
		b.StartTimer()
	}
}
