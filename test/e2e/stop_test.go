package e2e

import (
	"testing"

	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// TestAgent_WithoutServer starts an agent that has no server in reach: it goes
// on, and synchronises when there is one.
func TestAgent_WithoutServer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := host(t, s, s.URL(), "pc1.alone.test")
	must(t, s.Stop(stopTime))
	must(t, a.Start(t.Context()))
	await(t, "the first synchronisation has failed", func() (bool, error) {
		st, err := a.Status(t.Context())
		return err == nil && len(st.Changes) > 0 && st.Changes[0].Status == "failed", err
	})
	if !a.Alive() {
		t.Fatalf("the agent has ended:\n%s", site.Tail(a.Log, 20))
	}
	must(t, s.Start(t.Context()))
	if _, err := a.Fire(t.Context(), "timer"); err != nil {
		t.Fatal(err)
	}
	await(t, "the agent has the configuration", func() (bool, error) {
		st, err := a.Status(t.Context())
		return st.Cache.Pulled != "" && st.Running == "" && st.Changes[0].Status == "done", err
	})
}

// TestStop_InTheMiddleOfAFetch stops both programs while a product travels, and
// starts them again on the same data: what has arrived is kept.
func TestStop_InTheMiddleOfAFetch(t *testing.T) {
	for _, first := range []string{"agent", "server"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := serve(t)
			p := pack(t, s, "large", "", 200, 20<<20)
			j := prepare(t, s, "pc1.stop.test", []product{p})
			must(t, j.agent.Start(ctx))
			underWay := func() (bool, error) {
				st, err := j.agent.Status(ctx)
				return st.Cache.WireBytes > 2<<20, err
			}
			await(t, "something has arrived", underWay)
			if first == "agent" {
				must(t, j.agent.Stop(stopTime))
				must(t, j.agent.Start(ctx)) // goes on by itself
			} else {
				must(t, s.Stop(busyTime))
				must(t, s.Start(ctx))
			}
			await(t, "nothing is to be done", idle(t, j.agent))
			if st, err := j.agent.Status(ctx); err != nil || !full(st) {
				_, err := j.agent.Fire(ctx, "timer")
				must(t, err)
				await(t, "the caches are full", func() (bool, error) {
					st, err := j.agent.Status(ctx)
					return full(st), err
				})
			}
			must(t, sameTree(p.source, j.agent.CacheDir()+"/depot/large/files"))
			if _, down := j.line.Counts(); down > 24<<20 {
				t.Errorf("%d bytes came over the line for 20 MiB: what had arrived was fetched again", down)
			}
			must(t, j.agent.Stop(stopTime))
			must(t, s.Stop(stopTime))
			must(t, s.Start(ctx))
			must(t, j.agent.Start(ctx))
			if st, err := j.agent.Status(ctx); err != nil || !full(st) {
				t.Errorf("after another start the caches are no longer full: %v, %v", st.Flags, err)
			}
		})
	}
}
