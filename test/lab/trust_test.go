package lab_test

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

// Another server answers at the address of the one that was joined: it gets
// nothing, not even the host's key.
func TestWrongServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	pc.LocalCall("configState_create", "from.client", pc.ID, []any{"mine"})

	own := l.Server.Dir
	l.Server.Stop()
	l.Server.Dir = filepath.Join(t.TempDir(), "impostor")
	l.Server.Start()
	l.Log.Requests("host " + pc.ID)
	l.Log.Requests(" ")
	c := pc.Fire("timer")
	if c.Status != "failed" || !strings.Contains(c.Text, "certificate") {
		t.Errorf("%s: %s", c.Status, c.Text)
	}
	for _, of := range []string{"host " + pc.ID, " "} {
		if got := l.Log.Requests(of); len(got) > 0 {
			t.Errorf("the impostor was asked: %v", got)
		}
	}
	if st := pc.Status(); st.Unsent != 1 {
		t.Errorf("%d unsent", st.Unsent)
	}
	l.Run("cannot_be_joined_by_the_fingerprint_of_another", func(t *testing.T) {
		_, err := identity.Join(t.Context(), t.TempDir(), identity.JoinRequest{Server: l.Server.URL(), HostID: "pc2.example.org", OneTimePassword: "x",
			Fingerprint: strings.Repeat("00", 32)})
		if fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("joined: %v", err)
		}
	})
	l.Server.Stop()
	l.Server.Dir = own
	l.Server.Start()
	pc.Fire("timer").OK(t)
	equal(t, "on the server", serverParameter(l, pc, "from.client"), []any{"mine"})
}

func TestDeletedHost(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t) // it has a session
	as := pc.AsHost()
	if _, err := as.Call(t.Context(), actor, "backend_info", pos()); err != nil {
		t.Fatal(err)
	}
	l.Call("host_delete", pc.ID)
	if _, err := as.Call(t.Context(), actor, "backend_info", pos()); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("the host still gets in: %v", err)
	}
	if c := pc.Fire("timer"); c.Status != "failed" {
		t.Errorf("%s: %s", c.Status, c.Text)
	}
	for _, path := range []string{"/v1/depot/tool/tree", "/depot/tool/setup.sh", "/v1/packages"} {
		if status, _ := get(t, l, pc, l.Server.URL()+path); status != http.StatusForbidden {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if rows := l.Rows("productOnClient_getObjects", []any{}, map[string]any{"clientId": pc.ID}); len(rows) > 0 {
		t.Errorf("left behind: %v", rows)
	}
}

// get fetches an address as the host does, and checks the certificate.
func get(t *testing.T, l *lab.Lab, pc *lab.Host, url string) (int, string) {
	t.Helper()
	id, err := identity.Load(pc.Dir)
	must(t, err)
	client, prepare, err := id.HTTP("lab")
	must(t, err)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	must(t, err)
	must(t, prepare(req))
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(body)
}

// The depot's property depotWebdavUrl leads to the products, over verified TLS
// and the service's one port, for clients that know WebDAV only.
func TestWebDAV(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Files(map[string]string{"a b/c": "content"}), lab.Setup("true"))
	pc := l.Joined("pc1")
	depot := l.Rows("host_getObjects", []any{}, map[string]any{"id": l.Server.ID})[0]
	url, ok := strings.CutPrefix(depot.Str("depotWebdavUrl"), "webdavs://")
	if !ok || !strings.HasPrefix("https://"+url, l.Server.URL()+"/") {
		t.Fatalf("depotWebdavUrl is %q", depot.Str("depotWebdavUrl"))
	}
	if status, body := get(t, l, pc, "https://"+url+"/tool/a%20b/c"); status != 200 || body != "content" {
		t.Errorf("%d %q", status, body)
	}
}

// `<product-id>.files` is made after the postinst script ran, from what it left.
func TestFilesList(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Files(map[string]string{"a": "alpha"}), lab.Link("link", "a"), lab.Setup("true"),
		lab.Postinst("#!/bin/sh\nset -e\ncd \"$CLIENT_DATA_DIR\"\nmkdir made\nprintf made > made/later\n"))
	// As in the seed's example, a link's target is written from the product's folder.
	want := "f 'a' 5 2c1743a391305fbf367df8e4f069f9f9\n" +
		"l 'link' 0 '/a'\n" +
		"d 'made' 0\n" +
		"f 'made/later' 4 4ab8710d781ba5b13aaf561cafd896b7\n"
	got := read(t, filepath.Join(l.Server.Depot("tool"), "tool.files"))
	var kept []string
	for line := range strings.Lines(got) {
		if !strings.Contains(line, "setup.sh") {
			kept = append(kept, line)
		}
	}
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(strings.Join(kept, ""), "\n")); d != "" {
		t.Errorf("the list (-want +got):\n%s", d)
	}
	pc := l.Host("pc1")
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	equal(t, "made by postinst, on the client", read(t, filepath.Join(pc.Cached("tool"), "made", "later")), "made")
}

// A client is named by its opsi-host-Id, the fully qualified name.
func TestHostID(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for id, code := range map[string]fleet.Code{"vpnclient.domain.de": "", "vpnclient": fleet.Invalid, "vpnclient.de": fleet.Invalid, "vpn client.domain.de": fleet.Invalid} {
		_, err := l.Admin().Call(t.Context(), actor, "host_createOpsiClient", pos(id))
		if err == nil && code == "" {
			continue
		}
		if err == nil || fleet.CodeOf(err) != code {
			t.Errorf("%q: %v", id, err)
		}
	}
}
