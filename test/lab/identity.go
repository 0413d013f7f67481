package lab

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
)

// JoinedByToken makes a machine that joins by a token, without starting its agent.
func (l *Lab) JoinedByToken(token string) *Host {
	l.t.Helper()
	h := &Host{Dir: filepath.Join(l.t.TempDir(), "agent"), lab: l}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	h.Configure(timers)
	id, err := identity.JoinByToken(l.t.Context(), h.Dir, identity.TokenRequest{Token: token})
	if err != nil {
		l.t.Fatal(err)
	}
	h.ID = id.HostID
	h.Set("opsiclientd.event_timer.active", true)
	l.t.Cleanup(h.Stop)
	return h
}

// OpsiJoined is Joined as a version without certificates did it.
func (l *Lab) OpsiJoined(name string) *Host {
	l.t.Helper()
	h := &Host{ID: name + ".example.org", Dir: filepath.Join(l.t.TempDir(), name), lab: l}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	h.Configure(timers)
	const key = "0123456789abcdef0123456789abcdef"
	l.Call("host_createObjects", map[string]any{"type": "OpsiClient", "id": h.ID, "opsiHostKey": key})
	h.Set("opsiclientd.event_timer.active", true)
	data, err := json.Marshal(map[string]string{"hostId": h.ID, "hostKey": key, "server": l.Server.URL(), "ca": string(l.Server.authority())})
	if err == nil {
		err = os.WriteFile(identity.Path(h.Dir), data, 0o600)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(h.Stop)
	return h
}

// Cloned is a machine that was copied with everything, while its agent was stopped.
func (l *Lab) Cloned(of *Host) *Host {
	l.t.Helper()
	h := &Host{ID: of.ID, Dir: filepath.Join(l.t.TempDir(), "copy"), lab: l, boot: of.boot + 100}
	if err := os.CopyFS(h.Dir, os.DirFS(of.Dir)); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Chmod(h.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(h.Stop)
	return h
}

// As is a connection as somebody.
func (l *Lab) As(user, password string) *rpc.Client {
	l.t.Helper()
	return l.Server.client(user, password)
}

// Authority is the certificate that the server's clients trust, in PEM.
func (s *Server) Authority() []byte { return s.authority() }
