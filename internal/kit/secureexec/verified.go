package secureexec

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrMismatch is in the chain of [CopyVerified]'s error when the bytes are not
// the promised ones.
var ErrMismatch = errors.New("the content is not what was promised")

// PrivateDir makes sure that path is a real directory into which nobody but us
// can put or swap a file: it is made with mode 0700, or found to be ours with
// that mode. On Windows the parent's access list is inherited and not checked.
func PrivateDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		err = os.Chmod(path, 0o700) // an odd umask
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make private folder: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("cannot check private folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("cannot use %s as a private folder: it is no directory", path)
	}
	if err := ownedAlone(info); err != nil {
		return fmt.Errorf("cannot use %s as a private folder: %w", path, err)
	}
	return nil
}

// CopyVerified copies a program into the private folder dir and returns its
// path, ready to execute, if it has exactly the promised SHA-256 and no more
// than limit bytes. Checked and executed are the same file: it is created new
// under name (one path component; the suffix may choose an interpreter), hashed
// while it is written, and nobody else can reach it. Nothing remains after an
// error.
func CopyVerified(dir, name string, r io.Reader, limit int64, sum [sha256.Size]byte) (path string, err error) {
	if err := PrivateDir(dir); err != nil {
		return "", err
	}
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return "", fmt.Errorf("cannot copy program: %q is not a plain file name", name)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("cannot copy program: %w", err)
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return "", fmt.Errorf("cannot copy program: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			root.Remove(name)
		}
	}()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(r, limit+1))
	if err != nil {
		return "", fmt.Errorf("cannot copy program %s: %w", name, err)
	}
	if n > limit {
		return "", fmt.Errorf("cannot copy program %s: more than %d bytes: %w", name, limit, ErrMismatch)
	}
	if got := hash.Sum(nil); subtle.ConstantTimeCompare(got, sum[:]) != 1 {
		return "", fmt.Errorf("cannot copy program %s: SHA-256 is %x, not %x: %w", name, got, sum, ErrMismatch)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("cannot copy program %s: %w", name, err)
	}
	return filepath.Join(dir, name), nil
}
