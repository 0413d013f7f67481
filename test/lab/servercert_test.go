package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A machine that goes by first sight checks every connection to a service against
// what it stored, each service by its own address; a changed certificate is refused
// until somebody deletes the stored one. One with a pinned authority, beside it,
// follows a certificate that the authority signed, and cannot be made to forget.
func TestServerCertificates(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.StayConnected(true)
	l.Package("tool", "1", lab.Setup("true"))
	depot := strings.Replace(strings.Replace(l.Server.URL(), "https:", "webdavs:", 1), "127.0.0.1", "localhost", 1) + "/depot"
	conf := lab.Conf("[event_timer]\nstart_interval = 86400\ninterval = 86400\n[global]\nverify_server_cert = true\n[depot_server]\nurl = " + depot + "\n")
	pc := l.Host("pc1", conf, lab.AtFirstUse())
	pinned := l.Host("pc2", lab.Conf("[event_timer]\nstart_interval = 86400\ninterval = 86400\n[global]\nverify_server_cert = false\n"))
	install := func(h *lab.Host) (status, text string) {
		h.Request("tool", "setup")
		c := h.Fire("timer") // fetches
		if c.Status == "done" {
			c = h.Fire("on_demand")
		}
		return c.Status, c.Text
	}
	connected := func(h *lab.Host) bool {
		all, _ := l.Call("hostControlSafe_reachable", []any{h.ID}).(map[string]any)
		return all[h.ID] == true
	}
	for _, h := range []*lab.Host{pc, pinned} {
		if status, text := install(h); status != "done" {
			t.Fatalf("%s: %s: %s", h.ID, status, text)
		}
		lab.Await(t, "the message bus of "+h.ID, func() bool { return connected(h) })
	}
	equal(t, "the product", pc.Product("tool")["installationStatus"], any("installed"))
	stored := map[string][]byte{}
	for _, server := range []string{"127.0.0.1", "localhost"} { // config server and bus; depot
		data, err := os.ReadFile(filepath.Join(pc.Dir, "server-certs", server+".pem"))
		must(t, err)
		stored[server] = data
	}
	if _, err := os.Stat(identity.CertificatesDir(pinned.Dir)); err == nil {
		t.Error("the machine with a pinned authority stores certificates")
	}

	// Another certificate for the same names: the authority's this time, so that who
	// goes by it follows; for pc1 it is as good as anybody's.
	l.Server.Stop()
	must(t, os.Remove(filepath.Join(l.Server.Dir, "ca", "server.pem")))
	l.Server.Start()
	if status, text := install(pinned); status != "done" {
		t.Errorf("with a pinned authority: %s: %s", status, text)
	}
	lab.Await(t, "the message bus of "+pinned.ID, func() bool { return connected(pinned) })
	c := pc.Fire("timer")
	if c.Status != "failed" || !strings.Contains(c.Text, "another one than the server showed first") {
		t.Errorf("a changed certificate: %s: %s", c.Status, c.Text)
	}
	id, err := identity.Load(pc.Dir)
	must(t, err)
	asHost, err := id.Client("test")
	must(t, err)
	_, err = asHost.Call(t.Context(), actor, "backend_info", pos())
	if fleet.CodeOf(err) != fleet.Unauthenticated || !strings.Contains(fleet.HintOf(err), "trust forget-server 127.0.0.1") {
		t.Errorf("a changed certificate: %v, %s", err, fleet.HintOf(err))
	}
	if connected(pc) {
		t.Error("its message bus is connected")
	}

	equal(t, "deleteServerCerts", pc.ControlCall("deleteServerCerts"), any(nil))
	equal(t, "deleteServerCerts where nothing is stored", pinned.ControlCall("deleteServerCerts"), any(nil))
	if status, text := install(pc); status != "done" {
		t.Errorf("after it was deleted: %s: %s", status, text)
	}
	lab.Await(t, "its message bus again", func() bool { return connected(pc) })
	now, err := os.ReadFile(filepath.Join(pc.Dir, "server-certs", "127.0.0.1.pem"))
	must(t, err)
	if string(now) == string(stored["127.0.0.1"]) {
		t.Error("the former certificate is stored still")
	}
}
