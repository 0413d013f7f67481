package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/test/lab"
)

// ran is what a product's scripts have written on a machine.
func ran(t *testing.T, pc *lab.Host, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(pc.Dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// writes is a script that leaves a word on the machine.
func writes(pc, word string) string {
	return "echo " + word + " >>\"$FERNWERK_PRODUCT_DIR/../../../" + word + "\""
}

// A host of the policy offline installs what was signed offline, and nothing else:
// whatever the server says, and whoever has it.
func TestSignedContent(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	signer := l.Signer()
	other := lab.Files(map[string]string{"other.sh": writes("pc1", "evil") + "\n"})
	signer.Package("tool", "1", trust.Scripts{"setupScript": "setup.sh"}, lab.Setup(writes("pc1", "tool1")), other)
	l.Package("loose", "1", lab.Setup(writes("pc1", "loose")))
	signer.Publish()
	pc := l.Joined("pc1")
	pc.Demand(enrol.Offline, signer.Root())
	pc.Start()

	refused := func(t *testing.T, c lab.Change, words ...string) {
		t.Helper()
		if c.Status != "failed" {
			t.Errorf("%s: %s", c.Status, c.Text)
		}
		events := strings.Join(pc.Timeline(), "\n")
		for _, w := range words {
			if !strings.Contains(events, w) {
				t.Errorf("the timeline does not say %q:\n%s", w, events)
			}
		}
	}
	l.Run("what_is_signed_is_installed", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.Fire("on_demand").OK(t)
		equal(t, "ran", ran(t, pc, "tool1"), "tool1\n")
		st := pc.Status().Trust
		if st.Policy != enrol.Offline || st.Versions[trust.RoleTargets] == 0 || st.Stale || st.Problem != "" {
			t.Errorf("status %+v", st)
		}
	})
	l.Run("what_is_not_signed_is_not_even_cached", func(t *testing.T) {
		pc.Request("loose", "setup")
		refused(t, pc.Fire("on_demand"), "refused loose 1-1", "not signed")
		equal(t, "ran", ran(t, pc, "loose"), "")
		if _, err := os.Stat(filepath.Join(pc.Dir, "cache", "depot", "loose")); err == nil {
			t.Error("it was cached")
		}
		pc.Request("loose", "none")
	})
	l.Run("another_file_of_the_signed_tree_is_not_run", func(t *testing.T) {
		l.Call("product_updateObjects", fleet.Row{"type": fleet.LocalbootProduct, "id": "tool", "productVersion": "1", "packageVersion": "1", "setupScript": "other.sh"})
		pc.Request("tool", "setup")
		refused(t, pc.Fire("on_demand"), `the server names "other.sh", and "setup.sh" is signed`)
		equal(t, "ran", ran(t, pc, "evil"), "")
		l.Call("product_updateObjects", fleet.Row{"type": fleet.LocalbootProduct, "id": "tool", "productVersion": "1", "packageVersion": "1", "setupScript": "setup.sh"})
		pc.Fire("on_demand").OK(t)
		equal(t, "ran", ran(t, pc, "tool1"), "tool1\ntool1\n")
	})
	l.Run("a_tree_that_the_depot_changed_is_refused_and_the_old_one_is_kept", func(t *testing.T) {
		l.Package("tool", "1", lab.Setup(writes("pc1", "evil")), other)
		pc.Request("tool", "setup")
		refused(t, pc.Fire("on_demand"), "refused tool 1-1", "the policy here is offline")
		equal(t, "ran", ran(t, pc, "evil"), "")
	})
	l.Run("the_policy_counts_from_when_it_is_set", func(t *testing.T) {
		pc.Demand(enrol.Delegated, signer.Root()) // the server's key vouches for what its depot has
		pc.Fire("on_demand").OK(t)
		equal(t, "ran", ran(t, pc, "evil"), "evil\n")
		pc.Demand(enrol.Offline, signer.Root())
		pc.Request("tool", "setup")
		refused(t, pc.Fire("on_demand"), "refused tool 1-1", "the policy here is offline")
		equal(t, "ran", ran(t, pc, "evil"), "evil\n")
	})
}

// Keys of the class trust come with a signed file, and with no host parameter.
func TestSignedConfiguration(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	signer := l.Signer()
	signer.Add(trust.ConfName(""), []byte("[depot_server]\ncontent_policy = plain-opsi\n[event_nightly]\ntype = custom\n"))
	signer.Publish()
	pc := l.Joined("pc1")
	pc.Demand(enrol.Delegated, signer.Root())
	pc.Start()
	pc.Fire("timer").OK(t)
	pc.Fire("nightly")
	l.Server.Stop()
	pc.Boot() // it must be there without a server
	if pc.Begin("nightly") == "" {
		t.Error("the signed event is not known without a server")
	}
}

// A token brings policy and root: from its first start the machine runs nothing that
// was not signed offline, and needs no hand for it.
func TestSignedContent_ByToken(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	signer := l.Signer()
	signer.Package("tool", "1", trust.Scripts{"setupScript": "setup.sh"}, lab.Setup(writes("pc1", "tool1")))
	l.Package("loose", "1", lab.Setup(writes("pc1", "loose")))
	signer.Publish()
	token := l.Call("token_create", "vnode", int64(1), int64(3600), []any{}, "", "offline").(map[string]any)["token"].(string)
	pc := l.JoinedByToken(token)
	pc.Start()
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	pc.Fire("on_demand").OK(t)
	equal(t, "ran", ran(t, pc, "tool1"), "tool1\n")
	if st := pc.Status().Trust; st.Policy != enrol.Offline || st.Pinned != signer.Root().Version || st.Stale {
		t.Errorf("status %+v", st)
	}
	pc.Request("loose", "setup")
	if c := pc.Fire("on_demand"); c.Status != "failed" || !strings.Contains(c.Text, "refused loose 1-1") {
		t.Errorf("%s: %s", c.Status, c.Text)
	}
	equal(t, "ran", ran(t, pc, "loose"), "")
}
