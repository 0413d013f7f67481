// Package postgres starts a private PostgreSQL server for tests.
//
// The cluster lives in a folder of its own, listens on a Unix socket in that folder only, trusts
// whoever can reach the socket, and does not sync to disk: it is fast and worth nothing. It ends
// with the process that started it, however that process ends: a small supervisor waits for the
// end of a pipe that only this process holds open, then stops the server and deletes the folder.
// So neither a TestMain nor a SIGKILL leaves a server behind.
//
// Its text order is that of a human language (ICU, en-US), as on most real servers, not that of
// bytes: a statement that relies on byte order must say so, and is caught here when it does not.
package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Server is a running PostgreSQL server.
type Server struct {
	URL string // of its database postgres, as superuser postgres
	Dir string // holds the data and the socket; deleted at the end

	stop func() error
	tell func(word string) error
}

// Close stops the server at once, losing its data, and waits until its folder is gone.
func (s *Server) Close() error { return s.stop() }

// Bin returns the folder that holds initdb and postgres: where Debian keeps its newest version,
// else where PATH finds postgres.
func Bin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	for dir := range strings.SplitSeq(os.Getenv("PATH"), string(os.PathListSeparator)) {
		if path := filepath.Join(dir, "postgres"); len(found) == 0 && executable(path) {
			if path, err := filepath.EvalSymlinks(path); err == nil {
				found = append(found, path)
			}
		}
	}
	if len(found) == 0 {
		return "", errors.New("no postgres in /usr/lib/postgresql/*/bin nor in PATH")
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// version is the main version in /usr/lib/postgresql/VERSION/bin/postgres, or 0.
func version(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

// failed wraps err with the end of the server's own words, which hold the cause.
func failed(what string, err error, output []byte) error {
	const most = 2000
	if len(output) > most {
		output = output[len(output)-most:]
	}
	return fmt.Errorf("cannot %s the test PostgreSQL: %w\n%s", what, err, output)
}
