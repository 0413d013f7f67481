package identity

import (
	"sync"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Somebody sets the policy while the agent takes what came with a contact: neither
// loses what the other wrote.
func TestSetPolicy_WhileTheAgentRenews(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	if _, err := Join(t.Context(), dir, s.request()); err != nil {
		t.Fatal(err)
	}
	if err := SetRoot(dir, enrol.Root{Version: 1, SHA256: s.fingerprint()}); err != nil {
		t.Fatal(err)
	}
	id, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var agent sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		agent.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := id.update(func(now *Identity) { now.NodeType = "vnode" }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		for _, policy := range []enrol.Policy{enrol.Offline, enrol.PlainOpsi} {
			if err := SetPolicy(dir, policy); err != nil {
				t.Error(err)
			}
			if now, err := Load(dir); err != nil || now.Policy != policy {
				t.Errorf("%s was set, it is %s (%v)", policy, now.Policy, err)
			}
		}
	}
	close(stop)
	agent.Wait()
}
