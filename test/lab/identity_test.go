package lab_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/test/lab"
)

// newToken makes a token for machines of plain-opsi.
func newToken(l *lab.Lab, uses int) string {
	return l.Call("token_create", "vnode", int64(uses), int64(3600), []any{}, "", "plain-opsi").(map[string]any)["token"].(string)
}

func rowsOf(v any) []any { all, _ := v.([]any); return all }

// A machine joins by a token, works by its certificate, and gets a new one in time.
func TestToken_Journey(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.JoinedByToken(newToken(l, 1))
	if !strings.HasPrefix(pc.ID, "client1.") {
		t.Errorf("it is called %s", pc.ID)
	}
	pc.Start()
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	pc.Fire("on_demand").OK(t)
	equal(t, "the product", pc.Product("tool")["installationStatus"], any("installed"))
	first, err := identity.Load(pc.Dir)
	if err != nil || first.Serial() == "" || first.Policy != enrol.PlainOpsi || first.NodeType != "vnode" {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err := os.Stat(identity.CRLPath(pc.Dir)); err != nil {
		t.Errorf("the list of revocations did not come: %v", err)
	}

	l.Server.Stop() // the server's clock goes on, to when the certificate is due
	l.Server.Now = func() time.Time { return time.Now().Add(70 * 24 * time.Hour) }
	l.Server.Start()
	pc.Boot()
	lab.Await(t, "another certificate", func() bool { now, err := identity.Load(pc.Dir); return err == nil && now.Serial() != first.Serial() })
	renewed, err := identity.Load(pc.Dir)
	if err != nil || renewed.Key == first.Key || renewed.HostKey != first.HostKey {
		t.Errorf("the key stayed, or more than it changed: %v", err)
	}
	pc.Fire("timer").OK(t)
	pc.Boot()
	pc.Fire("timer").OK(t)
	if again, _ := identity.Load(pc.Dir); again.Serial() != renewed.Serial() {
		t.Error("it is renewed at every contact")
	}
}

// An agent that joined before there were certificates gets its first one by its
// host key, and by nothing else afterwards.
func TestIdentityOfBefore(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.OpsiJoined("pc1")
	if id, err := identity.Load(pc.Dir); err != nil || id.Chain != "" {
		t.Fatalf("%+v, %v", id, err)
	}
	pc.Start()
	lab.Await(t, "a certificate", func() bool { id, err := identity.Load(pc.Dir); return err == nil && id.Serial() != "" })
	pc.Fire("timer").OK(t)
}

// Attack 33: a copied machine is noticed within two check-ins, both are shown, and
// the one that is refused becomes another host.
func TestAttack33_ClonedAgent(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.JoinedByToken(newToken(l, 1))
	pc.Start()
	pc.Stop()
	copied := l.Cloned(pc)
	checkIns := 0
	pc.Boot() // the original goes on, and checks in
	copied.Boot()
	for len(rowsOf(l.Call("host_getClones"))) == 0 {
		if checkIns++; checkIns > 2 {
			t.Fatal("nobody noticed")
		}
		for _, h := range []*lab.Host{pc, copied} {
			h.Boot() // checks in once
		}
	}
	c := copied.Fire("timer")
	if c.Status != "failed" || !strings.Contains(c.Text, enrol.CodeClone) {
		t.Errorf("%s: %s", c.Status, c.Text)
	}
	pc.Fire("timer").OK(t)
	copied.Stop()
	token := newToken(l, 1)
	if _, err := identity.JoinByToken(t.Context(), copied.Dir, identity.TokenRequest{Token: token}); fleet.CodeOf(err) != fleet.Exists || !strings.Contains(fleet.HintOf(err), "join --again") {
		t.Errorf("joined without a word: %v", err)
	}
	id, err := identity.JoinByToken(t.Context(), copied.Dir, identity.TokenRequest{Token: token, Again: true})
	if err != nil || id.HostID == pc.ID {
		t.Fatalf("%s, %v", id.HostID, err)
	}
	pc.Fire("timer").OK(t)
}

// Attack 34: an image that was sealed with a used token or with an identity does
// not join by it, and says what to do.
func TestAttack34_SealedImage(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	token := newToken(l, 1)
	l.JoinedByToken(token)
	_, err := identity.JoinByToken(t.Context(), t.TempDir(), identity.TokenRequest{Token: token})
	if fleet.CodeOf(err) != fleet.Denied || !strings.Contains(err.Error(), "used up") || !strings.Contains(fleet.HintOf(err), "token create") {
		t.Errorf("a used token: %v (%s)", err, fleet.HintOf(err))
	}
	// A key that waited for its answer when the image was sealed stays on that machine.
	dir := t.TempDir()
	first := newToken(l, 2)
	machine := func(uuid string) identity.TokenRequest {
		return identity.TokenRequest{Token: first, Machine: enrol.Machine{SystemUUID: uuid}}
	}
	l.Server.Stop()
	if _, err := identity.JoinByToken(t.Context(), dir, machine("4c4c4544-0043-3010-8052-b4c04f564432")); fleet.CodeOf(err) != fleet.Unavailable {
		t.Fatal(err)
	}
	l.Server.Start()
	a, err := identity.JoinByToken(t.Context(), dir, machine("5c4c4544-0043-3010-8052-b4c04f564432"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := identity.JoinByToken(t.Context(), t.TempDir(), machine("4c4c4544-0043-3010-8052-b4c04f564432"))
	if err != nil || a.HostID == b.HostID {
		t.Errorf("%s and %s, %v", a.HostID, b.HostID, err)
	}
}

// Attack 56: whoever answers at the server's address is not believed: the token
// pins the authority, and nothing secret is sent to another.
func TestAttack56_FakeServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	token := newToken(l, 1)
	k, err := enrol.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	genuine := l.Server.Authority()
	for name, shows := range map[string]func() []byte{"its own authority": nil, "the right authority": func() []byte { return genuine }} {
		fake := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.Path)
			if shows != nil {
				w.Write(shows())
			}
		}))
		k.Addresses = []string{strings.TrimPrefix(fake.URL, "https://")}
		forged, err := k.Text()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		_, err = identity.JoinByToken(t.Context(), dir, identity.TokenRequest{Token: forged})
		if c := fleet.CodeOf(err); c != fleet.Denied && c != fleet.Unauthenticated || fleet.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := identity.Load(dir); !errors.Is(err, identity.ErrNotJoined) {
			t.Errorf("%s: %v", name, err)
		}
		fake.Close()
	}
	for _, a := range asked {
		if a != "GET /ssl/ca-certs.pem" {
			t.Errorf("the fake server was sent %s", a)
		}
	}
}

// Revoking a host ends its connection at once, and all that it could come back by.
func TestRevoke_LiveAgent(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.StayConnected(true)
	pc := l.JoinedByToken(newToken(l, 1))
	pc.Start()
	reachable := func() bool {
		all, _ := l.Call("hostControlSafe_reachable", []any{pc.ID}).(map[string]any)
		return all[pc.ID] == true
	}
	lab.Await(t, "its connection", reachable)
	began := time.Now()
	l.Call("host_revoke", pc.ID, "stolen")
	lab.Await(t, "the end of its connection", func() bool { return !reachable() })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it was connected for another %v", took)
	}
	for range 2 {
		if c := pc.Fire("timer"); c.Status != "failed" {
			t.Errorf("%s: %s", c.Status, c.Text)
		}
	}
	if reachable() {
		t.Error("it is connected again")
	}
}

// A restored server takes no machine for a copy, learns again what was revoked
// since, and accepts the certificates that it has issued since.
func TestRestoredServer_Identities(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc, stolen := l.JoinedByToken(newToken(l, 1)), l.JoinedByToken(newToken(l, 1))
	pc.Start()
	pc.Stop()
	key := stolen.Key()
	l.Server.Stop()
	file := filepath.Join(t.TempDir(), "backup")
	cfg := server.Config{Data: l.Server.Dir}
	if _, err := server.Backup(t.Context(), cfg, file, server.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	l.Server.Now = func() time.Time { return time.Now().Add(70 * 24 * time.Hour) }
	l.Server.Start()
	before, err := identity.Load(pc.Dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Call("host_revoke", stolen.ID)
	pc.Boot() // fetches the list, and a certificate that no backup knows
	lab.Await(t, "another certificate", func() bool { now, err := identity.Load(pc.Dir); return err == nil && now.Serial() != before.Serial() })
	pc.Fire("timer").OK(t)
	pc.Stop()
	l.Server.Stop()
	if _, err := server.Restore(t.Context(), cfg, file, true); err != nil {
		t.Fatal(err)
	}
	l.Server.Start()
	knows := func() bool {
		_, err := l.As(stolen.ID, key).Call(t.Context(), actor, "backend_info", pos())
		return err == nil
	}
	if !knows() {
		t.Error("the restored server knows already: nothing is shown here")
	}
	pc.Boot()
	pc.Fire("timer").OK(t)
	lab.Await(t, "the revocation", func() bool { return !knows() })
	if clones := rowsOf(l.Call("host_getClones")); len(clones) != 0 {
		t.Errorf("clones: %v", clones)
	}
	pc.Fire("timer").OK(t)
}
