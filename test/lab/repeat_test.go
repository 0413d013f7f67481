package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/lab"
	"github.com/fernwerk/fernwerk/test/require"
)

// asks is a script line by which a setup script requests an action at the agent's
// own service, as opsi's scripts do. The product need not be in the cache.
func asks(product, action string) string {
	row := fmt.Sprintf(`{"productId":"%s","productType":"LocalbootProduct","clientId":"'"$FERNWERK_HOST_ID"'","actionRequest":"%s"}`, product, action)
	return `curl -sS --fail --cacert "$FERNWERK_CA_FILE" -u "$FERNWERK_RPC_USER:$(cat "$FERNWERK_RPC_KEY_FILE")" "$FERNWERK_RPC_URL" -d '{"id":1,"method":"productOnClient_createObjects","params":[` + row + `]}'`
}

// Seed A: processing repeats until no action is left.
func TestRepeat(t *testing.T) {
	t.Parallel()
	require.Tool(t, "curl")
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("third", "1", lab.Setup(note(trace, "third")))
	l.Package("second", "1", lab.Setup(note(trace, "second")+"\n"+asks("third", "setup")))
	l.Package("first", "1", lab.Setup(note(trace, "first")+"\n"+asks("second", "setup")))
	ran := func() string { return strings.ReplaceAll(strings.TrimSpace(read(t, trace)), "\n", " ") }

	l.Run("actions_that_scripts_request", func(t *testing.T) {
		pc := l.Host("pc1")
		pc.Request("first", "setup")
		c := pc.Fire("on_demand").OK(t)
		equal(t, "what ran", ran(), "first second third")
		for _, id := range []string{"first", "second", "third"} {
			equal(t, id, pc.State(id), "installed 1 none successful")
		}
		contains(t, c.Texts("repeat"), "done: processing goes on: 1 actions are left")
		contains(t, c.Texts("repeat"), "done: no action is left")
	})
	l.Run("actions_that_the_server_gets_meanwhile", func(t *testing.T) {
		pc := l.Host("pc2")
		l.Package("slow", "1", lab.Setup(note(trace, "slow")+"\nwhile [ ! -e "+trace+".go ]; do sleep 0.02; done"))
		pc.Request("slow", "setup")
		id := pc.Begin("on_demand")
		lab.Await(t, "the script", func() bool { return strings.HasSuffix(ran(), "slow") })
		pc.Request("third", "setup")
		must(t, os.WriteFile(trace+".go", nil, 0o600))
		pc.Ended(id).OK(t)
		equal(t, "what ran", ran(), "first second third slow third")
	})
}

// From the cache, with no server in reach, what is there repeats.
func TestRepeat_FromTheCache(t *testing.T) {
	t.Parallel()
	require.Tool(t, "curl")
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("base", "1", lab.Setup(note(trace, "base")), lab.Script("update", note(trace, "base again")))
	l.Package("app", "1", lab.Needs("base"), lab.Setup(note(trace, "app")+"\n"+asks("base", "update")))
	pc := l.Host("pc1")
	pc.Request("app", "setup")
	pc.Fire("timer").OK(t)
	l.Server.Stop()
	pc.Boot().OK(t)
	equal(t, "what ran", read(t, trace), "base\napp\nbase again\n")
	pc.Boot()
	equal(t, "what ran in all", read(t, trace), "base\napp\nbase again\n")
}

// Two products that request each other do not keep a machine busy for ever.
func TestRepeat_ComesToAnEnd(t *testing.T) {
	t.Parallel()
	require.Tool(t, "curl")
	l := lab.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	l.Package("ping", "1", lab.Setup(note(trace, "ping")+"\n"+asks("pong", "setup")))
	l.Package("pong", "1", lab.Setup(note(trace, "pong")+"\n"+asks("ping", "setup")))
	l.Package("broken", "1", lab.Setup(note(trace, "broken")+"\nexit 1"))
	l.Package("app", "1", lab.Needs("broken"), lab.Setup(note(trace, "app")))
	l.Run("requests_without_an_end", func(t *testing.T) {
		pc := l.Host("pc1")
		pc.Request("ping", "setup")
		c := pc.Fire("on_demand")
		equal(t, "what ran", read(t, trace), strings.Repeat("ping\npong\n", 3))
		if c.Status != "failed" || !strings.Contains(c.Text, "requested again after it ran 3 times: setup of ping") {
			t.Errorf("%s: %s", c.Status, c.Text)
		}
	})
	l.Run("what_failed_is_not_tried_again", func(t *testing.T) {
		pc := l.Host("pc2")
		pc.Request("app", "setup")
		before := read(t, trace)
		pc.Fire("on_demand")
		equal(t, "what ran", strings.TrimPrefix(read(t, trace), before), "broken\n")
	})
}
