package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/test/lab"
	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/samba"
)

func shareConf(s *samba.Server, more string) string {
	return "[depot_server]\nusername = " + s.User + "\npassword = " + s.Password + "\n" + more
}

func timelineHas(t *testing.T, pc *lab.Host, text string) {
	t.Helper()
	for _, e := range pc.Timeline() {
		if strings.Contains(e, text) {
			return
		}
	}
	t.Errorf("the timeline does not say %q:\n%s", text, strings.Join(pc.Timeline(), "\n"))
}

// A client whose host parameter says cifs gets its products from the share, and
// checks them by the manifest: a share has no certificate.
func TestCIFS(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	files := many("x", 40, 20_000)
	files["it's 50% ä"] = "odd name"
	l.Package("tool", "1", lab.Files(files), lab.Setup("true"), lab.Link("link", "setup.sh"))
	share := l.Copy()
	s := require.Samba(t, share)
	l.Call("host_updateObject", map[string]any{"type": "OpsiConfigserver", "id": l.Server.ID, "depotRemoteUrl": s.URL()})
	pc := l.Host("pc1", lab.Conf(shareConf(s, "")))
	pc.Set("clientconfig.depot.protocol", "cifs")
	pc.Request("tool", "setup")
	l.Log.Requests("host " + pc.ID)
	pc.Fire("timer").OK(t)
	same(t, l, pc, "tool")
	for _, r := range l.Log.Requests("host " + pc.ID) {
		if strings.Contains(r.Path, "/depot/") && !strings.HasSuffix(r.Path, "/tree") {
			t.Errorf("content came by %s", r.Path)
		}
	}
	st := pc.Status().Cache
	equal(t, "status", []string{st.Depot.DepotID, st.Depot.Protocol, st.Products[0].From, st.Products[0].Checked},
		[]string{l.Server.ID, "cifs", l.Server.ID + " by cifs", "sha256"})
	timelineHas(t, pc, "depot "+l.Server.ID+" by cifs (it is the client's depot)")
	pc.Boot().OK(t)
	equal(t, "on the server", pc.State("tool"), "installed 1 none successful")

	l.Run("an event can use another protocol", func(t *testing.T) {
		l.Package("second", "1", lab.Files(many("y", 5, 1000)), lab.Setup("true"))
		l.Call("config_createUnicode", "opsiclientd.event_timer.depot_protocol", "", []any{"webdav", "cifs"}, []any{"cifs"})
		pc.Set("opsiclientd.event_timer.depot_protocol", "webdav")
		pc.Fire("timer").OK(t) // brings the parameter, which counts for the next event
		pc.Request("second", "setup")
		pc.Fire("timer").OK(t)
		same(t, l, pc, "second") // the share does not have it
		pc.Set("opsiclientd.event_timer.depot_protocol", "cifs")
		pc.Fire("timer").OK(t)
	})
	l.Run("what the share has changed never arrives", func(t *testing.T) {
		l.Package("third", "1", lab.Files(map[string]string{"file": "as it was installed"}), lab.Setup("true"))
		must(t, os.CopyFS(filepath.Join(share, "third"), os.DirFS(l.Server.Depot("third"))))
		must(t, os.WriteFile(filepath.Join(share, "third", "file"), []byte("as somebody wants!!"), 0o644))
		pc.Request("third", "setup")
		c := pc.Fire("timer")
		if c.Status != "failed" || !strings.Contains(c.Text, "wrong") {
			t.Errorf("%s: %s", c.Status, c.Text)
		}
		if _, err := os.Stat(pc.Cached("third")); !os.IsNotExist(err) {
			t.Errorf("it is cached: %v", err)
		}
	})
}

// A depot of a plain opsi server has `.files` only. It is refused, until the
// machine's own file names the policy; then status and timeline say by what the
// content was checked.
func TestPlainOpsiDepot(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	files := many("x", 40, 20_000)
	files["packed.tar.gz"] = "\x1f\x8b as it is"
	l.Package("tool", "1", lab.Files(files), lab.Setup("true"), lab.Link("link", "setup.sh"))
	url, dir := l.PlainDepot()
	const plain = "plain.example.org"
	s := require.Samba(t, dir)
	l.Depot(plain, url, s.URL())
	l.Holds(plain, "tool", "1")
	pc := l.Host("pc1", lab.Conf(shareConf(s, "")))
	pc.Set("clientconfig.depot.id", plain)
	pc.Request("tool", "setup")
	c := pc.Fire("timer")
	if c.Status != "failed" || !strings.Contains(c.Text, "404") {
		t.Errorf("without the policy: %s: %s", c.Status, c.Text)
	}
	l.Call("config_createUnicode", "opsiclientd.depot_server.content_policy", "", []any{}, []any{"plain-opsi"}) // a server cannot say it
	pc.Fire("timer")
	if c := pc.Fire("timer"); c.Status != "failed" {
		t.Errorf("the server chose the policy: %s", c.Status)
	}
	for _, protocol := range []string{"webdav", "cifs"} {
		l.Run(protocol, func(t *testing.T) {
			pc := l.Host(protocol, lab.Conf(shareConf(s, "content_policy = plain-opsi\n")))
			pc.Set("clientconfig.depot.id", plain)
			pc.Set("clientconfig.depot.protocol", protocol)
			pc.Request("tool", "setup")
			pc.Fire("timer").OK(t)
			same(t, l, pc, "tool")
			p := pc.Status().Cache.Products[0]
			equal(t, "status", []string{p.From, p.Checked}, []string{plain + " by " + protocol, "md5"})
			timelineHas(t, pc, "checked by MD5 only: tool")
			before := pc.Status().Cache.WireBytes
			pc.Fire("timer").OK(t)
			if after := pc.Status().Cache.WireBytes; after > before {
				t.Errorf("what is here came again: %d bytes", after-before)
			}
			pc.Boot().OK(t)
			equal(t, "on the server", pc.State("tool"), "installed 1 none successful")
		})
	}
}

// Of two depots with the product the nearest is chosen; when it dies in the
// middle, the other one brings the rest.
func TestDynamicDepot(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	files := map[string]string{"big": lab.Noise("big", 4_000_000)}
	l.Package("tool", "1", lab.Files(files), lab.Setup("true"))
	far := l.Line(slowline.Line{Rate: 2_000_000, RTT: 60 * time.Millisecond})
	near, end := l.MortalLine(slowline.Line{Rate: 2_000_000, RTT: 2 * time.Millisecond})
	l.Depot("far.example.org", l.Through(far), "")
	l.Depot("near.example.org", l.Through(near), "")
	l.Holds("far.example.org", "tool", "1")
	l.Holds("near.example.org", "tool", "1")
	pc := l.Host("pc1")
	pc.Set("clientconfig.depot.id", "far.example.org")
	pc.Set("clientconfig.depot.dynamic", true)
	pc.Set("clientconfig.depot.selection_mode", "latency")
	// The config server itself has the product too, and is nearest of all.
	l.Call("productOnDepot_delete", "tool", l.Server.ID, "LocalbootProduct", "1", "1")
	pc.Request("tool", "setup")

	id := pc.Begin("timer")
	lab.Await(t, "a part of the product", func() bool { _, down := near.Counts(); return down > 1_500_000 })
	end()
	pc.Ended(id).OK(t)
	same(t, l, pc, "tool")
	st := pc.Status().Cache
	equal(t, "depots", append([]string{st.Depot.DepotID}, st.Depot.Fallbacks...), []string{"near.example.org", "far.example.org"})
	if !strings.Contains(st.Depot.Reason, "nearest") {
		t.Errorf("because %s", st.Depot.Reason)
	}
	equal(t, "from", st.Products[0].From, "far.example.org by chunks")
	if _, down := far.Counts(); down > 3_000_000 {
		t.Errorf("%d bytes came from the second depot: what the first brought was lost", down)
	}
	timelineHas(t, pc, "tool from far.example.org by chunks")

	l.Run("works with the chosen one down", func(t *testing.T) {
		l.Package("second", "1", lab.Files(many("y", 5, 1000)), lab.Setup("true"))
		l.Holds("far.example.org", "second", "1")
		l.Holds("near.example.org", "second", "1")
		pc.Set("clientconfig.depot.selection_mode", "random")
		pc.Request("second", "setup")
		pc.Fire("timer").OK(t)
		same(t, l, pc, "second")
	})
	l.Run("what came from another depot stays usable", func(t *testing.T) {
		pc.Set("clientconfig.depot.dynamic", false)
		pc.Set("clientconfig.depot.id", "near.example.org") // which is down
		pc.Boot().OK(t)
		equal(t, "on the server", pc.State("tool"), "installed 1 none successful")
	})
}
