package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/peercred"
)

// On the server's own machine there is a Unix socket with the same table behind
// it. Who owns the server's files owns the server: root, and the user that it
// runs as, need no password there, and the kernel says who they are. Nobody else
// is answered.
//
// The socket lies in the data folder, which is its owner's only (0700), and is
// 0600 itself: others do not even reach it. The check of the peer is what
// counts; the modes are a second lock.

// root is who comes through the socket.
var root = methods.Actor{Role: methods.Administrator, ID: "root (local)", Address: "local"}

type localKey struct{}

// peer is the user at the other end of the socket, or why that is not known.
type peer struct {
	uid int
	err error
}

// ListenLocal makes the socket. One that is left over from a crash is replaced:
// the caller holds the lock of the data folder, so nobody listens there.
func ListenLocal(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fleet.WithHint(fmt.Errorf("cannot listen on %s: there is something else", path), "move it away")
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return l, nil
}

// withPeer notes who is at the other end of a connection.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	uid, err := peercred.UID(conn)
	return context.WithValue(ctx, localKey{}, peer{uid, err})
}

// authenticate says who sends a request: through the socket by the peer, unless
// he says himself who he wants to be; else by what the request carries.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (methods.Actor, error) {
	p, local := r.Context().Value(localKey{}).(peer)
	if !local {
		return s.Parts.Authenticate(w, r)
	}
	if p.err != nil || p.uid != 0 && p.uid != os.Geteuid() {
		s.Log.Warn("Refused on the local socket", "uid", p.uid, slog.Any("error", p.err))
		return methods.Actor{}, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot answer user %d of this machine: the socket is root's and the server's own", p.uid),
			"log in by https with an account")
	}
	if r.Header.Get("Authorization") != "" {
		return s.Parts.Authenticate(w, r)
	}
	return root, nil
}
