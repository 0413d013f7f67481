//go:build linux || darwin

package peercred

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestUID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	caller, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if uid, err := UID(conn); err != nil || uid != os.Getuid() {
		t.Errorf("%d, %v; want %d", uid, err, os.Getuid())
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if uid, err := UID(near); err == nil {
		t.Errorf("a pipe has the user %d", uid)
	}
}
