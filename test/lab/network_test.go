package lab_test

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A notebook in WAN mode: the server is not there at the start, a network that comes
// later brings configuration and products in the background.
func TestNetConnection(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"))
	pc := l.Host("pc1")
	pc.Set("opsiclientd.event_net_connection.active", true)
	pc.Fire("timer").OK(t)
	pc.Request("tool", "setup")
	l.Server.Stop()
	pc.Boot()
	events := func(status string) (n int) {
		for _, c := range pc.Status().Changes {
			if c.Event == "net_connection" && c.Status == status {
				n++
			}
		}
		return n
	}
	l.Run("an_attempt_without_the_server", func(t *testing.T) {
		pc.Plug("192.0.2.7")
		pc.Await("the attempt", func(control.Status) bool { return events("failed") == 1 })
	})
	l.Run("a_connection_that_appears_later", func(t *testing.T) {
		l.Server.Start()
		pc.Plug("192.0.2.7", "10.134.0.9")
		pc.Await("the product", func(st control.Status) bool { return events("done") == 1 && st.Flags["products_cached"] })
	})
	l.Run("the_same_network_is_no_event", func(t *testing.T) {
		pc.Plug("192.0.2.7")
		pc.Fire("timer").OK(t)
		if n := events("done") + events("failed"); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}
