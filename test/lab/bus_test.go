package lab_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/test/lab"
)

// permanent wishes for a connection to the message bus, anew at once when it broke.
const permanent = timed + "[config_service]\npermanent_connection = true\nreconnect_wait_min = 1\nreconnect_wait_max = 1\n"

const timed = "[event_timer]\nstart_interval = 86400\ninterval = 86400\n"

// reached waits until the server reaches a host.
func reached(t *testing.T, l *lab.Lab, pc *lab.Host) {
	t.Helper()
	lab.Await(t, "a connection to the message bus", func() bool {
		return fmt.Sprint(l.Call("hostControl_reachable", []any{pc.ID})) == "map["+pc.ID+":true]"
	})
}

// The server pushes an event to an agent behind a slow line, where no port is
// open; the line breaks and the server restarts, and it does so again.
func TestPush_ReachesAnAgentOverTheSlowLine(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.StayConnected(true)
	l.Package("tool", "1", lab.Setup("true"))
	line := l.Line(slowline.Line{Rate: 250_000, RTT: 40 * time.Millisecond})
	pc := l.Host("pc1", lab.Through(line), lab.Conf(permanent))
	reached(t, l, pc)
	push := func() {
		t.Helper()
		pc.Request("tool", "setup")
		v := l.Call("hostControl_fireEvent", "on_demand", []any{pc.ID}).(map[string]any)
		one := v[pc.ID].(map[string]any)
		id, _ := one["result"].(string)
		if id == "" {
			t.Fatalf("fired: %v", v)
		}
		pc.Ended(id).OK(t)
		equal(t, "the tool", pc.State("tool"), "installed 1 none successful")
	}
	push()
	if got := fmt.Sprint(l.Call("hostControl_execute", "id", []any{pc.ID})); !strings.Contains(got, "remote execution is refused") {
		t.Errorf("execute: %s", got)
	}
	l.Server.Stop()
	l.Server.Start()
	// The server named a time of at least five seconds.
	reached(t, l, pc)
	push()
	// The wish is a host parameter as well; without it the connection ends.
	pc.Stop()
	pc.Configure(timed)
	pc.Set("opsiclientd.config_service.permanent_connection", false)
	pc.Start()
	if got := fmt.Sprint(l.Call("hostControl_uptime", []any{pc.ID})); strings.Contains(got, "error:<nil>") {
		t.Errorf("a host without a connection answered: %s", got)
	}
}

// A host without the bus is asked at its control port, if the server may show
// its key there.
func TestHostControl_OverHTTPS(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.Host("pc1", lab.Conf(timed))
	pc.Set("opsiclientd.config_service.permanent_connection", false)
	pc.Fire("timer").OK(t)
	_, port, err := net.SplitHostPort(pc.Addr())
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	restart := func(trust string) {
		t.Helper()
		l.Server.Stop()
		l.Server.HostControl.Port, l.Server.HostControl.Trust = n, trust
		l.Server.Start()
		l.Call("host_updateObject", map[string]any{"type": "OpsiClient", "id": pc.ID, "ipAddress": "127.0.0.1"})
	}
	restart("any")
	if got := fmt.Sprint(l.Call("hostControlSafe_uptime", []any{pc.ID})); !strings.Contains(got, "error:<nil>") {
		t.Errorf("uptime: %s", got)
	}
	v := l.Call("hostControlSafe_fireEvent", "timer", []any{pc.ID}).(map[string]any)
	id, _ := v[pc.ID].(map[string]any)["result"].(string)
	if id == "" {
		t.Fatalf("fired: %v", v)
	}
	pc.Ended(id).OK(t)
	restart("")
	if got := fmt.Sprint(l.Call("hostControlSafe_uptime", []any{pc.ID})); !strings.Contains(got, "cannot be verified") {
		t.Errorf("the host's key was shown to a certificate of nobody: %s", got)
	}
	restart("off")
	if got := fmt.Sprint(l.Call("hostControlSafe_uptime", []any{pc.ID})); !strings.Contains(got, "not connected") {
		t.Errorf("uptime: %s", got)
	}
}
