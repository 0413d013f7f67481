package lab_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/kit/agefile"
	"github.com/fernwerk/fernwerk/test/lab"
)

// publisher calls methods as an administrator's command does.
type publisher struct{ *lab.Lab }

func (p publisher) Call(ctx context.Context, method string, args ...any) (any, error) {
	return p.Admin().Call(ctx, methods.Actor{}, method, methods.Pos(args...))
}

// What a depot changed after it was signed is signed by the config server, for its
// own depot and for a branch's, and goes with the tree.
func TestSignedTrees(t *testing.T) {
	l := lab.New(t)
	server := publisher{l}
	there, err := offline.Ask(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	same := func() (string, error) { return "correct horse battery", nil }
	ring := &offline.Ring{Keeper: agefile.Keeper{Work: 4}, New: same, Ask: func(string) (string, error) { return same() }}
	path := filepath.Join(t.TempDir(), "trust")
	if err := offline.Init(path, offline.Plan{RootKeys: 1, RootThreshold: 1, TargetsKeys: 1, TargetsThreshold: 1, Online: there.Online}, ring, time.Now()); err != nil {
		t.Fatal(err)
	}
	d, err := offline.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	custom, err := trust.Scripts{"setupScript": "setup.fern"}.Custom()
	if err != nil {
		t.Fatal(err)
	}
	target := trust.TargetOf([]byte("the manifest before postinst"))
	target.Custom = custom
	d.AddTarget(trust.ProductName("office", "1.0", "1", "any"), target)
	if _, err := d.Sign(ring, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	l.Call("host_createObjects", fleet.Row{"type": fleet.OpsiClient, "id": "pc1.example.org", "opsiHostKey": "11112222333344445555666677778888"})
	b := l.Branch("branch")
	signed := func() []string { return names(t, l, d) }

	l.Package("office", "1.0", lab.Setup("echo office"))
	ours := trust.DepotName(l.Server.ID, "office", "1.0", "1", "any")
	theirs := trust.DepotName(b.ID, "office", "1.0", "1", "any")
	if got := signed(); !slices.Equal(got, []string{ours}) {
		t.Errorf("%q", got)
	}
	if _, err := b.Pull("office", l.Server.ID); err != nil {
		t.Fatal(err)
	}
	if got := signed(); len(got) != 2 || !slices.Contains(got, theirs) {
		t.Errorf("%q", got)
	}
	if status, text := b.Admin("DELETE", "/v1/packages/office", nil); status != http.StatusOK {
		t.Fatal(status, text)
	}
	tick := time.NewTicker(10 * time.Millisecond) // nobody asked about it, so the server is woken by the commit
	defer tick.Stop()
	limit := time.After(time.Minute)
	for got := signed(); !slices.Equal(got, []string{ours}); got = signed() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("after the branch removed it: %q", got)
		}
	}
	// A depot asks for its own trees only, and cannot hand in a list.
	key := hostKeyOf(t, l, b.ID)
	for method, args := range map[string][]any{"trust_publish": {[]any{}, "", []any{}}, "trust_makeKeys": nil} {
		if _, err := l.Server.Client(b.ID, key).Call(t.Context(), methods.Actor{}, method, methods.Pos(args...)); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("%s by a depot: %v", method, err)
		}
	}
}

func hostKeyOf(t *testing.T, l *lab.Lab, id string) string {
	t.Helper()
	rows := l.Rows("host_getObjects", []any{}, map[string]any{"id": id})
	return rows[0].Str("opsiHostKey")
}

// names are what the role depot signs, as a host reads and verifies it.
func names(t *testing.T, l *lab.Lab, d *offline.Dir) []string {
	t.Helper()
	get := func(name string) []byte {
		resp := l.Server.Get("/v1/trust/"+name, "pc1.example.org", "11112222333344445555666677778888")
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", name, resp.Status, err)
		}
		return data
	}
	h, err := trust.NewTrusted(get("1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(h.Root().Raw()) != string(d.Root().Raw()) {
		t.Fatal("another root")
	}
	if _, err := h.UpdateTimestamp(get("timestamp.json")); err != nil {
		t.Fatal(err)
	}
	for len(h.Wants()) > 0 {
		for _, w := range h.Wants() {
			data := get(trust.FileName(w.Role, w.Version))
			if w.Role == trust.RoleSnapshot {
				err = h.UpdateSnapshot(data)
			} else {
				err = h.UpdateTargets(w.Role, data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return h.Names("depot/")
}
