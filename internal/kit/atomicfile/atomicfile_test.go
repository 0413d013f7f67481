package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteFile_ReplacesContentAndPermissions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, perm := range []fs.FileMode{0o600, 0o644, 0o666} {
		want := "content for " + perm.String()
		if err := WriteFile(path, []byte(want), perm); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != want {
			t.Errorf("content = %q, want %q", got, want)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode() != perm {
			t.Errorf("mode = %v, want %v", info.Mode(), perm)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"f"}) {
		t.Errorf("folder holds %q", got)
	}
}

func TestWriter_NobodySeesTheContentBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old")
	w, err := Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.Write([]byte("new "))
	w.Write([]byte("content"))
	if got := read(t, path); got != "old" {
		t.Errorf("before Commit: %q", got)
	}
	temps, _ := filepath.Glob(filepath.Join(dir, TempPrefix+"*"))
	if len(temps) != 1 {
		t.Fatalf("temporary files: %q", temps)
	}
	if info, err := os.Stat(temps[0]); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("temporary file: %v, %v", info.Mode(), err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "new content" {
		t.Errorf("after Commit: %q", got)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if err := w.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second Commit = %v", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"f"}) {
		t.Errorf("folder holds %q", got)
	}
}

func TestWriter_AbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old")
	w, err := Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("new"))
	if err := errors.Join(w.Abort(), w.Abort()); err != nil {
		t.Error(err)
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit after Abort succeeded")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"f"}) || read(t, path) != "old" {
		t.Errorf("folder holds %q, file %q", got, read(t, path))
	}
}

func TestWriter_FailedStepKeepsTheOldFile(t *testing.T) {
	for name, spoil := range map[string]func(w *Writer){
		"flush":  func(w *Writer) { w.temp.Close() },
		"rename": func(w *Writer) { os.Remove(w.temp.Name()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			write(t, path, "old")
			w, err := Create(path, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			spoil(w)
			if err := w.Commit(); err == nil {
				t.Error("Commit succeeded")
			}
			if got := names(t, dir); !slices.Equal(got, []string{"f"}) || read(t, path) != "old" {
				t.Errorf("folder holds %q, file %q", got, read(t, path))
			}
		})
	}
}

func TestWriteFile_FolderMissing(t *testing.T) {
	err := WriteFile(filepath.Join(t.TempDir(), "no", "f"), nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}

// Readers and writers at once: every read finds one whole content.
func TestWriteFile_ReadersSeeWholeContents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	contents := []string{string(make([]byte, 100_000)), "short"}
	if err := WriteFile(path, []byte(contents[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, c := range contents {
		wg.Go(func() {
			for range 20 {
				if err := WriteFile(path, []byte(c), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		if got := read(t, path); !slices.Contains(contents, got) {
			t.Fatalf("read %d bytes of neither content", len(got))
		}
	}
	wg.Wait()
}

func TestExchange_SwapsFolders(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "sub", "b")
	write(t, filepath.Join(a, "f"), "first")
	write(t, filepath.Join(b, "f"), "second")
	err := Exchange(a, b)
	if runtime.GOOS != "linux" {
		if !errors.Is(err, ErrNotSupported) || read(t, filepath.Join(a, "f")) != "first" {
			t.Errorf("Exchange = %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if x, y := read(t, filepath.Join(a, "f")), read(t, filepath.Join(b, "f")); x != "second" || y != "first" {
		t.Errorf("a holds %q, b %q", x, y)
	}
	if err := Exchange(a, filepath.Join(dir, "none")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("Exchange with a missing name = %v", err)
	}
	// A folder cannot be swapped with one inside it: the kernel's refusal is
	// the same as for a file system without the call.
	if err := Exchange(dir, a); !errors.Is(err, ErrNotSupported) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Exchange with its own parent = %v", err)
	}
}

func TestSyncTree(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "b", "f"), "x")
	write(t, filepath.Join(dir, "g"), "y")
	if runtime.GOOS != "windows" {
		// Neither followed nor opened.
		if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "a", "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "g"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for name, sync := range map[string]func(string) error{"SyncTree": SyncTree, "syncWalk": syncWalk, "SyncDir": SyncDir} {
		if err := sync(dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := sync(filepath.Join(dir, "none"))
		if !errors.Is(err, fs.ErrNotExist) && !(name == "SyncDir" && runtime.GOOS == "windows") {
			t.Errorf("%s of a missing folder = %v", name, err)
		}
	}
}

// An agent that starts clears up behind dead ones, while a command line writes.
func TestSweep(t *testing.T) {
	dead := exec.Command(os.Args[0], "-test.run=^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	gone, here := fmt.Sprint(TempPrefix, dead.Process.Pid, "-1"), fmt.Sprint(TempPrefix, os.Getpid(), "-1")
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{TempPrefix + "1": 2 * time.Hour, TempPrefix + "2": 0, "own": 2 * time.Hour,
		gone: 0, here: 0, here + "1": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		write(t, path, "x")
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := Create(filepath.Join(dir, "new"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	Sweep(dir)
	if err := w.Commit(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	want := []string{"new", "own", TempPrefix + "2", here}
	for i, name := range want {
		want[i] = filepath.Join(dir, name)
	}
	slices.Sort(want)
	if slices.Sort(left); err != nil || !slices.Equal(left, want) {
		t.Errorf("%v %v", left, err)
	}
}
