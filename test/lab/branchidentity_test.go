package lab_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A depot server has an identity as hosts have: a key of its own, certified once for
// its host key and renewed by itself. Then the host key can be closed, so that who
// stole it has nothing; and who deletes the depot server ends its certificate.
func TestBranch_Identity(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"), lab.Files(map[string]string{"small.txt": "one"}))
	b := l.Branch("branch")
	file := filepath.Join(b.Dir, "identity.pem")
	first := read(t, file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	pc := l.Joined("pc1")
	l.Call("configState_create", "clientconfig.depot.id", pc.ID, b.ID)
	works := func() {
		t.Helper()
		if _, err := b.Pull("tool", l.Server.ID); err != nil {
			t.Errorf("a copy from the config server: %v", err)
		}
		if resp := b.Do("GET", "/depot/tool/small.txt", pc.ID, pc.Key(), nil); resp.StatusCode != http.StatusOK {
			t.Errorf("a client: %s", resp.Status)
		}
		// What clients ask is not asked in the depot server's name.
		if resp := b.Do("POST", "/v1/packages/tool/pull?from="+l.Server.ID, pc.ID, pc.Key(), nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("a client that changes the depot: %s", resp.Status)
		}
		if resp := b.Do("GET", "/depot/tool/small.txt", "nobody.example.org", "", nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("somebody without a key: %s", resp.Status)
		}
	}
	works()
	byKey := func() error {
		_, err := l.As(b.ID, lab.DepotKey).Call(t.Context(), actor, "accessControl_getCaller", pos())
		return err
	}
	must(t, byKey())
	b.Stop()
	b.Start()
	equal(t, "the identity after a restart", read(t, file), first)

	l.Call("host_setKeyLogins", b.ID, false)
	if err := byKey(); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("by the host key that is closed: %v", err)
	}
	b.Stop()
	b.Start()
	works()

	// Ten weeks later another is due: for the certificate, not for the key.
	b.Stop()
	l.Server.Stop()
	later := func() time.Time { return time.Now().Add(70 * 24 * time.Hour) }
	l.Server.Now, b.Now = later, later
	l.Server.Start()
	b.Start()
	if read(t, file) == first {
		t.Error("the certificate was not renewed")
	}

	// A lost file: the closed key gets no other, the open one does.
	b.Stop()
	must(t, os.Remove(file))
	if err := b.TryStart(); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("with neither: %v", err)
	}
	l.Call("host_setKeyLogins", b.ID, true)
	b.Start()
	if read(t, file) == first {
		t.Error("the first certificate came back")
	}

	b.Stop()
	l.Call("host_delete", b.ID)
	if err := b.TryStart(); err == nil {
		t.Error("a depot server that was deleted starts")
	}
}
