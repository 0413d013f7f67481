// Package peercred says which user is at the other end of a Unix socket, as the
// kernel knows it: nothing that he sends counts.
//
// It knows Linux and macOS; elsewhere it answers [errors.ErrUnsupported].
package peercred

import (
	"errors"
	"net"
	"syscall"
)

// UID is the user id of the process that connected.
func UID(conn net.Conn) (int, error) {
	c, ok := conn.(syscall.Conn)
	if _, unix := conn.(*net.UnixConn); !ok || !unix {
		return -1, errors.New("cannot tell who is at the other end: it is no Unix socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	uid := -1
	var asked error
	if err := raw.Control(func(fd uintptr) { uid, asked = uidOf(int(fd)) }); err != nil {
		return -1, err
	}
	return uid, asked
}
