//go:build !unix

package postgres

import "errors"

// Start is for Unix: the server listens on a Unix socket and is ended by a shell.
func Start() (*Server, error) {
	return nil, errors.New("cannot start the test PostgreSQL: not on this system")
}
