package lab_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/test/lab"
)

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

// wide is a line that costs no time; it counts.
var wide = slowline.Line{Rate: 1 << 30}

// TestReplication looks at what a pull brings.
func TestReplication(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("base", "1", lab.Setup("true"))
	l.Package("tool", "1", lab.Needs("base"), lab.Property("colour", "blue"), lab.Setup("true"))
	l.Package("unwanted", "1", lab.Setup("true"))
	pc, other := l.Host("pc1", lab.Conf(onlyActions)), l.Joined("pc2")
	ids := func() (list []string) {
		for _, r := range pc.LocalRows("product_getObjects") {
			list = append(list, r.Str("id"))
		}
		return list
	}
	l.Run("no_product_without_an_action_request", func(t *testing.T) { equal(t, "products here", ids(), []string(nil)) })
	pc.Request("tool", "setup")
	other.Set("secret.of.another", "x")
	pc.Set("site.parameter", "x")
	l.Call("productPropertyState_create", "tool", "colour", pc.ID, []any{"red"})
	c := pc.Fire("config_only").OK(t)
	contains(t, c.Texts("sync_config_from_server"), "configuration fetched: ")
	l.Run("what_an_action_needs_with_its_dependencies", func(t *testing.T) {
		equal(t, "products here", ids(), []string{"base", "tool"})
		got := pc.LocalCall("productPropertyState_getValues", []any{"tool"}, nil, []any{pc.ID})
		equal(t, "properties here", got, any(map[string]any{pc.ID: map[string]any{"tool": map[string]any{"colour": []any{"red"}}}}))
		equal(t, "parameter here", parameter(pc, "site.parameter"), []any{"x"})
	})
	l.Run("the_order_of_actions_is_the_server's", func(t *testing.T) {
		filter := map[string]any{"clientId": pc.ID}
		want := l.Rows("productOnClient_getObjectsWithSequence", []any{"productId", "actionRequest", "actionSequence"}, filter)
		got := pc.LocalRows("productOnClient_getObjectsWithSequence", []any{"productId", "actionRequest", "actionSequence"}, filter)
		equal(t, "sequence here", got, want)
		if len(got) != 2 || got[0].Str("productId") != "base" {
			t.Errorf("sequence %v", got)
		}
	})
	l.Run("nothing_of_other_hosts", func(t *testing.T) {
		for _, r := range pc.LocalRows("host_getObjects") {
			if r.Str("id") == other.ID {
				t.Error("the other host is here")
			}
		}
		if rows := pc.LocalRows("configState_getObjects", []any{}, map[string]any{"configId": "secret.of.another"}); len(rows) > 0 {
			t.Errorf("here: %v", rows)
		}
	})
	l.Run("working_copy_and_snapshot_are_equal", func(t *testing.T) {
		if st := pc.Status(); st.Unsent != 0 {
			t.Errorf("%d objects differ", st.Unsent)
		}
	})
	l.Run("one_SQLite_file_in_the_data_folder", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(pc.Dir, "agent.db"))
		if err != nil || !bytes.HasPrefix(data, []byte("SQLite format 3\x00")) {
			t.Errorf("agent.db: %v, %.16q", err, data)
		}
	})
	l.Run("what_was_taken_away_goes", func(t *testing.T) {
		l.Call("configState_delete", "site.parameter", pc.ID)
		pc.Request("tool", "none")
		pc.Request("base", "none")
		pc.Fire("config_only").OK(t)
		equal(t, "products here", ids(), []string(nil))
		equal(t, "parameter here", parameter(pc, "site.parameter"), []any(nil))
	})
}

// A host that has all costs next to nothing: one small answer.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Files(map[string]string{"a": lab.Noise("a", 10_000)}), lab.Setup("true"))
	line := l.Line(wide)
	pc := l.Host("pc1", lab.Through(line))
	measure := func(t *testing.T, what string) (bytes int64, requests []lab.Request) {
		pc.Fire("timer").OK(t) // what the agent does at the first time, such as opening connections
		l.Log.Requests("host " + pc.ID)
		line.Reset()
		pc.Fire("timer").OK(t)
		up, down := line.Counts()
		requests = l.Log.Requests("host " + pc.ID)
		t.Logf("%s: %d bytes up, %d down, TLS included, on a warm connection; requests %v", what, up, down, requests)
		return up + down, requests
	}
	l.Run("without_an_action", func(t *testing.T) {
		n, requests := measure(t, "without an action")
		if n > 2<<10 || len(requests) != 1 {
			t.Errorf("%d bytes, %d requests; want one of 2 KiB at most", n, len(requests))
		}
	})
	l.Run("with_a_product_waiting_for_its_installation", func(t *testing.T) {
		pc.Request("tool", "setup")
		pc.Fire("timer").OK(t)
		n, requests := measure(t, "with a cached product")
		if n > 4<<10 || len(requests) != 2 { // one more asks whether the product's tree changed
			t.Errorf("%d bytes, requests %v", n, requests)
		}
	})
	l.Run("cold_connection", func(t *testing.T) {
		pc.Boot()
		pc.Stop()
		line.Reset()
		pc.Start()
		up, down := line.Counts()
		t.Logf("the agent's start: %d bytes up, %d down, with TLS handshakes", up, down)
		if up+down > 16<<10 {
			t.Errorf("%d bytes", up+down)
		}
	})
}

// The configuration of 1,000 products comes in one round trip, and two for TCP
// and TLS.
func TestThousandProducts(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.Joined("pc1", lab.Conf(onlyActions+"[event_opsiclientd_start]\nsync_config_from_server = false\nsync_config_to_server = false\ncache_products = false\npost_sync_config_to_server = true\n"))
	line := l.Line(slowline.Line{Rate: 2_500_000, RTT: 80 * time.Millisecond})
	pc.Reach(line)
	var products, onDepot, onClient []any
	n := 1000
	if raceEnabled {
		n = 100 // the detector makes the database thirty times slower
	}
	for i := range n {
		id := fmt.Sprintf("product%04d", i)
		products = append(products, fleet.Row{"type": "LocalbootProduct", "id": id, "productVersion": "1", "packageVersion": "1", "name": "Product", "setupScript": "setup.sh"})
		onDepot = append(onDepot, fleet.Row{"productId": id, "productType": "LocalbootProduct", "productVersion": "1", "packageVersion": "1", "depotId": l.Server.ID})
		onClient = append(onClient, fleet.Row{"productId": id, "productType": "LocalbootProduct", "clientId": pc.ID, "actionRequest": "setup"})
	}
	l.Call("product_createObjects", products)
	l.Call("productOnDepot_createObjects", onDepot)
	l.Call("productOnClient_createObjects", onClient)
	pc.Start()
	l.Log.Requests("host " + pc.ID)
	line.Reset()
	began := time.Now()
	c := pc.Fire("pull_only").OK(t)
	took := time.Since(began)
	up, down := line.Counts()
	requests := l.Log.Requests("host " + pc.ID)
	t.Logf("%s in %v over 20 Mbit/s and 80 ms: %d bytes up, %d down, %d requests", c.Texts("sync_config_from_server"), took, up, down, len(requests))
	if len(requests) != 1 {
		t.Errorf("requests %v: beside TCP's and TLS's round trips one is allowed", requests)
	}
	if here := len(pc.LocalRows("product_getObjects")); here != n {
		t.Errorf("%d products here", here)
	}
}

// A server that was restored from a backup has another history: everything is
// exchanged, and the client's copy follows.
func TestRestoredServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1", lab.Conf(onlyActions))
	pc.Set("site.note", "old")
	pc.Fire("timer").OK(t)
	backup := l.Server.Backup()
	pc.Set("site.note", "lost with the server")
	pc.Set("site.more", "lost, too")
	pc.Request("tool", "setup")
	contains(t, pc.Fire("config_only").OK(t).Texts("sync_config_from_server"), "changed")
	equal(t, "before", parameter(pc, "site.note"), []any{"lost with the server"})
	pc.LocalCall("configState_create", "from.client", pc.ID, []any{"kept"})

	l.Server.Stop()
	l.Server.Dir = backup
	l.Server.Start()
	for _, value := range []string{"new 1", "new 2", "new 3", "new 4", "new 5"} { // past the position that the client knows
		pc.Set("site.other", value)
	}
	c := pc.Fire("config_only").OK(t)
	contains(t, c.Texts("sync_config_from_server"), "in all")
	equal(t, "the parameter", parameter(pc, "site.note"), []any{"old"})
	equal(t, "what the server never had", parameter(pc, "site.more"), []any(nil))
	equal(t, "what is new", parameter(pc, "site.other"), []any{"new 5"})
	equal(t, "what was unsent", serverParameter(l, pc, "from.client"), []any{"kept"})
	if rows := pc.LocalRows("product_getObjects"); len(rows) != 0 {
		t.Errorf("products here: %v", rows)
	}
	contains(t, pc.Fire("config_only").OK(t).Texts("sync_config_from_server"), "0 objects changed")
}
