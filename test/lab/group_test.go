package lab_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/fernwerk/fernwerk/test/lab"
)

// Product groups, made and filled on the server, pick what a client caches and
// installs: by its caches, and by its events.
func TestProductGroups(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("runtime", "1", lab.Setup("true"))
	l.Package("firefox", "1", lab.Setup("true"), lab.Needs("runtime"))
	l.Package("office", "1", lab.Setup("true"))
	l.Package("game", "1", lab.Setup("true"))
	l.Call("group_createProductGroup", "small", "fits a slow line")
	l.Call("group_createProductGroup", "later")
	for group, products := range map[string][]string{"small": {"firefox", "game"}, "later": {"game"}} {
		for _, id := range products {
			l.Call("objectToGroup_create", "ProductGroup", group, id)
		}
	}
	pc := l.Host("pc1")
	for _, id := range []string{"firefox", "office", "game"} {
		pc.Request(id, "setup")
	}
	cached := func() (out string) {
		for _, id := range []string{"firefox", "runtime", "office", "game"} {
			if _, err := os.Stat(pc.Cached(id)); err == nil {
				out += id + " "
			}
		}
		return out
	}
	l.Run("the caches' groups", func(t *testing.T) {
		pc.Set("opsiclientd.cache_service.include_product_group_ids", "small")
		pc.Set("opsiclientd.cache_service.exclude_product_group_ids", "later")
		pc.Fire("timer").OK(t) // brings the parameters
		pc.Fire("timer").OK(t)
		if got := cached(); got != "firefox runtime " {
			t.Errorf("cached: %s", got)
		}
	})
	l.Run("are those that are installed", func(t *testing.T) {
		pc.Fire("on_demand").OK(t)
		got := fmt.Sprint(pc.State("firefox"), "; ", pc.State("office"), "; ", pc.State("game"))
		if want := "installed 1 none successful; not_installed  setup ; not_installed  setup "; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
	l.Run("an event's groups", func(t *testing.T) {
		pc.Set("opsiclientd.cache_service.include_product_group_ids", "")
		pc.Set("opsiclientd.event_timer.exclude_product_group_ids", "small")
		pc.Fire("timer").OK(t)
		pc.Fire("timer").OK(t)
		if got := cached(); got != "firefox runtime office " {
			t.Errorf("cached: %s", got)
		}
	})
}
