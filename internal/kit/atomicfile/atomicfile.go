// Package atomicfile makes files and folders appear whole or not at all, also
// when the power fails in the middle.
//
// A file is written under a temporary name in the folder of its final one,
// flushed, renamed over the final name, and the folder is flushed. A reader
// sees the old content or the new; after a nil error the new one survives a
// power cut, as far as the disk keeps its promise to flush. Whole trees (a
// product in the cache, a depot tree) are filled in a staging folder, made
// durable by SyncTree and put in place by a rename or by Exchange.
//
// # Limits
//
//   - A crash can leave a temporary file, named TempPrefix, the process's number and
//     digits, with mode 0600. Who owns the folder removes those at start by [Sweep].
//   - The final name becomes a new file: hard links, ownership, extended
//     attributes and ACLs of the old one are not carried over, and a symbolic
//     link is replaced, not followed.
//   - On Windows a file that another program holds open without sharing deletion
//     cannot be replaced (Commit returns the error and the old file stays), and
//     folders are not flushed: NTFS keeps its own log of names.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// TempPrefix starts the name of every temporary file.
const TempPrefix = ".atomicfile-"

// WriteFile replaces the file with data and permissions. The permissions are
// set as given, whatever the umask; on Windows only the write bit counts.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	w, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

// Sweep removes what processes that are gone left in a folder. What a living one
// writes stays, unless it is an hour old: then its number is another one's by now.
func Sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, TempPrefix+"*"))
	for _, path := range left {
		info, err := os.Lstat(path)
		if err == nil && (time.Since(info.ModTime()) > time.Hour || !written(filepath.Base(path))) {
			os.Remove(path)
		}
	}
}

// written tells whether the process that made a temporary file may be writing it.
// A name that has no process in it, as somebody else's has not, is left alone.
func written(name string) bool {
	number, _, ok := strings.Cut(strings.TrimPrefix(name, TempPrefix), "-")
	pid, err := strconv.Atoi(number)
	if !ok || err != nil || pid <= 0 {
		return true
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	if runtime.GOOS == "windows" {
		return true // it was found
	}
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// Writer is a new content of a file that nobody sees before Commit.
type Writer struct {
	path string
	perm fs.FileMode
	temp *os.File
	done bool
}

// Create begins a new content. The folder must exist. Call Commit or Abort.
func Create(path string, perm fs.FileMode) (*Writer, error) {
	temp, err := os.CreateTemp(filepath.Dir(path), TempPrefix+strconv.Itoa(os.Getpid())+"-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return &Writer{path: path, perm: perm, temp: temp}, nil
}

// Write adds to the content.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.temp.Write(p)
	if err != nil {
		err = fmt.Errorf("cannot write %s: %w", w.path, err)
	}
	return n, err
}

// Commit puts the content in place and makes it durable. After an error before
// the rename the old file is untouched; an error of the last step, the flush of
// the folder, leaves the new file visible and perhaps not durable. The Writer
// cannot be used again either way.
func (w *Writer) Commit() error {
	if w.done {
		return fmt.Errorf("cannot write %s: %w", w.path, os.ErrClosed)
	}
	if err := w.place(); err != nil {
		w.Abort()
		return fmt.Errorf("cannot write %s: %w", w.path, err)
	}
	w.done = true
	return SyncDir(filepath.Dir(w.path))
}

func (w *Writer) place() error {
	if w.perm.Perm() != 0o600 {
		if err := w.temp.Chmod(w.perm.Perm()); err != nil {
			return err
		}
	}
	if err := w.temp.Sync(); err != nil {
		return err
	}
	if err := w.temp.Close(); err != nil {
		return err
	}
	return os.Rename(w.temp.Name(), w.path)
}

// Abort forgets the content. After Commit it does nothing, so that it can be
// deferred.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	if err := w.temp.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		os.Remove(w.temp.Name())
		return fmt.Errorf("cannot abort writing %s: %w", w.path, err)
	}
	if err := os.Remove(w.temp.Name()); err != nil {
		return fmt.Errorf("cannot abort writing %s: %w", w.path, err)
	}
	return nil
}
