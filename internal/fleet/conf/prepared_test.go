package conf_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// switched switches the prepared file's four events.
func switched(t *testing.T) string {
	t.Helper()
	text := conf.Prepared()
	for section, active := range map[string][2]string{"event_gui_startup": {"true", "false"}, "event_gui_startup{user_logged_in}": {"true", "false"},
		"event_net_connection": {"false", "true"}, "event_timer": {"false", "true"}} {
		before := "\n[" + section + "]\nactive = " + active[0] + "\n"
		if strings.Count(text, before) != 1 {
			t.Fatalf("[%s] is not %s in the prepared file", section, active[0])
		}
		text = strings.Replace(text, before, "\n["+section+"]\nactive = "+active[1]+"\n", 1)
	}
	return text
}

// The prepared file changes nothing by itself, and switching its events does what the
// host parameters of a WAN client do.
func TestPrepared(t *testing.T) {
	if d := cmp.Diff(load(t, "", nil).Resolve(), load(t, conf.Prepared(), nil).Resolve()); d != "" {
		t.Errorf("it changes what is so without it (-without +with):\n%s", d)
	}
	wan := params{}
	for id, active := range map[fleet.ConfigID]bool{"opsiclientd.event_gui_startup.active": false, "opsiclientd.event_gui_startup{user_logged_in}.active": false,
		"opsiclientd.event_net_connection.active": true, "opsiclientd.event_timer.active": true} {
		wan[id] = []any{active}
	}
	byParameters := load(t, "", wan)
	if d := cmp.Diff(byParameters.Resolve(), load(t, switched(t), nil).Resolve()); d != "" {
		t.Errorf("switching in the file (-by parameters +in the file):\n%s", d)
	}
	for _, e := range byParameters.Resolve() {
		if e.ID == "opsiclientd_start" && e.Active {
			t.Error("a WAN client meets the server at its start")
		}
	}
	packaged, err := os.ReadFile("../../../packaging/agent.conf")
	if err != nil || string(packaged) != conf.Prepared() {
		t.Errorf("packaging/agent.conf is another file: %v", err)
	}
}
