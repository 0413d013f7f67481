package mesh_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slackhq/nebula/cert"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
)

// world is a server's mesh over a real store, with a clock of its own.
type world struct {
	t          *testing.T
	mesh       *mesh.Mesh
	store      *store.Store
	authority  *certs.Authority
	now        time.Time
	identities map[string]mesh.Identity
	addresses  map[string]netip.Addr
	told       []string // to presence
	from       netip.Addr
}

func (w *world) Address(_ context.Context, host string) (netip.Addr, error) {
	return w.addresses[host], nil
}

func (w *world) Up(_ context.Context, u mesh.Up) error {
	w.told = append(w.told, "up "+u.HostID+" "+u.Epoch)
	return nil
}

func (w *world) Down(_ context.Context, host, epoch string) error {
	w.told = append(w.told, "down "+host+" "+epoch)
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Unix(1_800_000_000, 0), identities: map[string]mesh.Identity{}, addresses: map[string]netip.Addr{}, from: netip.MustParseAddr("198.51.100.11")}
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	clock := func() time.Time { return w.now }
	if w.store, err = store.Open(t.Context(), db, clock, slices.Concat(mesh.Classes(), []*fleet.Class{cluster.Secrets, fleet.Hosts, fleet.NodeTypes, fleet.Groups, fleet.Memberships})...); err != nil {
		t.Fatal(err)
	}
	text, err := mesh.NewAuthority("server.example.org", w.now)
	if err == nil {
		w.authority, err = certs.Read(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	key := cluster.NewKey()
	if err := w.store.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error { return key.Keep(tx, mesh.Secret, text) }); err != nil {
		t.Fatal(err)
	}
	w.mesh = mesh.New(mesh.Config{Store: w.store, Presence: w, Secrets: key, ServerID: "server.example.org", At: []string{"hub.example.org:4243"}, Every: time.Minute,
		Log: slog.New(slog.DiscardHandler), Now: clock, Identity: func(_ *store.Tx, host string) (mesh.Identity, error) { return w.identities[host], nil }})
	w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(fleet.NodeType{ID: "vnode", AddressRange: "10.134.0.0/16", Domain: "grid.example.org", Tunnel: "both", DeadName: "keep", Scheduler: "none", Resources: "core"}))
	w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(fleet.NodeType{ID: "plain", AddressRange: "10.135.0.0/16", Domain: "plain.example.org", Tunnel: "openvpn", DeadName: "keep", Scheduler: "none", Resources: "core"}))
	return w
}

func (w *world) put(c *fleet.Class, r fleet.Row) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error { return tx.Put(c, r) }); err != nil {
		w.t.Fatal(err)
	}
}

// host makes a host that has joined, and a request of its.
func (w *world) host(id, address string) content.Request {
	w.t.Helper()
	w.put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": id})
	w.identities[id] = mesh.Identity{NodeType: "vnode", Joined: 1, Counts: true}
	w.addresses[id] = netip.MustParseAddr(address)
	return content.Request{Key: newKey(w.t), Places: []netip.AddrPort{netip.MustParseAddrPort("192.168.1.11:4243")}}
}

func newKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey().Bytes()
}

func (w *world) ask(id string, r content.Request) content.Answer {
	w.t.Helper()
	out, err := w.mesh.Ask(w.t.Context(), id, w.from, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) open(a content.Answer) content.Map {
	w.t.Helper()
	if a.Map == nil {
		w.t.Fatal("there is no map")
	}
	m, err := a.Map.Open(w.authority.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// later lets time pass, so that the next map is a fresh one.
func (w *world) later(d time.Duration) { w.now = w.now.Add(d) }

func TestAsk(t *testing.T) {
	w := newWorld(t)
	w.put(fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": "lab"})
	w.put(fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": "plain"})
	r := w.host("a.example.org", "10.134.7.38")
	for _, g := range []string{"lab", "plain"} { // the second is named like a node type, and makes nobody one
		w.put(fleet.Memberships, fleet.Row{"groupType": fleet.HostGroup, "groupId": g, "objectId": "a.example.org"})
	}
	first := w.ask("A.example.org", r)
	c, _, err := cert.UnmarshalCertificateFromPEM([]byte(first.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name() != "a.example.org" || c.Networks()[0] != netip.MustParsePrefix("10.134.7.38/16") || !slices.Equal(c.Groups(), []string{"vnode", "lab"}) ||
		c.NotAfter().Sub(w.now) > content.Life || string(c.PublicKey()) != string(r.Key) {
		t.Errorf("%v", c)
	}
	m := w.open(first)
	if len(m.Nodes) != 1 || m.Nodes[0].Address.String() != "10.134.7.38" || m.Hubs[0].Address.String() != "10.134.0.1" || len(m.Blocked) != 0 {
		t.Errorf("%+v", m)
	}
	if again := w.ask("a.example.org", r); again.Certificate != first.Certificate {
		t.Error("an answer that got lost is not given again")
	}
	r.Holds, r.Tag = first.Fingerprint, content.Tag(first.Map.Map)
	w.later(time.Minute)
	if none := w.ask("a.example.org", r); none.Certificate != "" || none.Map != nil || none.Every != 60 {
		t.Errorf("nothing is new, and it says %+v", none)
	}
	w.later(4 * 24 * time.Hour)
	if next := w.ask("a.example.org", r); next.Certificate == "" || next.Fingerprint == first.Fingerprint {
		t.Error("more than half of its life is over, and nobody renews it")
	}
	w.identities["b.example.org"] = mesh.Identity{NodeType: "plain", Joined: 1, Counts: true}
	w.put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "b.example.org"})
	if _, err := w.mesh.Ask(t.Context(), "b.example.org", w.from, r); fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Errorf("a type without the mesh: %v", err)
	}
}

// What makes a certificate count no more: its host is revoked, gone, joined again,
// or has another address.
func TestAsk_Blocked(t *testing.T) {
	for name, end := range map[string]func(*world){
		"revoked": func(w *world) {
			w.identities["bad.example.org"] = mesh.Identity{NodeType: "vnode", Joined: 1}
		},
		"gone": func(w *world) {
			delete(w.identities, "bad.example.org")
			if err := w.store.Update(w.t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": "bad.example.org"}) }); err != nil {
				w.t.Fatal(err)
			}
		},
		"joined again": func(w *world) {
			w.identities["bad.example.org"] = mesh.Identity{NodeType: "vnode", Joined: 2, Counts: true}
		},
		"moved": func(w *world) {
			w.addresses["bad.example.org"] = netip.MustParseAddr("10.134.9.9")
			r := content.Request{Key: newKey(w.t)}
			w.ask("bad.example.org", r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			good, bad := w.host("good.example.org", "10.134.0.2"), w.host("bad.example.org", "10.134.0.3")
			given := w.ask("bad.example.org", bad)
			if m := w.open(w.ask("good.example.org", good)); len(m.Blocked) != 0 {
				t.Fatalf("%+v", m)
			}
			end(w)
			w.later(2 * time.Second)
			m := w.open(w.ask("good.example.org", good))
			if !slices.Equal(m.Blocked, []string{given.Fingerprint}) {
				t.Errorf("blocked are %v, not %s", m.Blocked, given.Fingerprint)
			}
			w.later(content.Life + time.Second)
			if m := w.open(w.ask("good.example.org", good)); len(m.Blocked) != 0 {
				t.Errorf("what is over by itself is still listed: %v", m.Blocked)
			}
		})
	}
}

func TestAsk_Revoked(t *testing.T) {
	w := newWorld(t)
	r := w.host("a.example.org", "10.134.7.38")
	w.identities["a.example.org"] = mesh.Identity{NodeType: "vnode", Joined: 1}
	if _, err := w.mesh.Ask(t.Context(), "a.example.org", w.from, r); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("%v", err)
	}
}

// A host that floods is refused; the others are not. What it says of where it is
// has its limits, and gives it no address.
func TestAsk_Flood(t *testing.T) {
	w := newWorld(t)
	bad, good := w.host("bad.example.org", "10.134.0.3"), w.host("good.example.org", "10.134.0.2")
	refused := 0
	for range 100 {
		if _, err := w.mesh.Ask(t.Context(), "bad.example.org", w.from, bad); fleet.CodeOf(err) == fleet.Unavailable {
			refused++
		}
	}
	if refused < 80 {
		t.Errorf("of 100 questions at once %d were refused", refused)
	}
	w.ask("good.example.org", good)
	w.later(time.Minute)
	w.ask("bad.example.org", bad)
	bad.Places = []netip.AddrPort{netip.MustParseAddrPort("10.134.0.2:4243")} // in the mesh itself
	m := w.open(w.ask("bad.example.org", bad))
	for _, n := range m.Nodes {
		if n.HostID == "bad.example.org" && len(n.At) != 0 || strings.Contains(n.HostID, "bad") && n.Address.String() != "10.134.0.3" {
			t.Errorf("%+v", n)
		}
	}
	bad.Places = slices.Repeat([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}, 100)
	if _, err := w.mesh.Ask(t.Context(), "bad.example.org", w.from, bad); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("%v", err)
	}
}

// Presence hears of a node once, not at every question; and of its end. What the
// node's clock says names no session.
func TestAsk_Presence(t *testing.T) {
	w := newWorld(t)
	r := w.host("a.example.org", "10.134.7.38")
	w.ask("a.example.org", r)
	r.Since = 5
	for range 3 {
		w.later(30 * time.Second)
		w.ask("a.example.org", r)
	}
	since := r.Since
	r.Since = 0
	w.ask("a.example.org", r)
	w.ask("a.example.org", r)
	r.Since = since // it is back, and its process is the same
	w.ask("a.example.org", r)
	r.Since = 3 // its clock was put back, and it started again
	w.later(time.Minute)
	w.ask("a.example.org", r)
	want := []string{"up a.example.org mesh:1800000030000", "down a.example.org mesh:1800000030000", "up a.example.org mesh:1800000090000", "up a.example.org mesh:1800000150000"}
	if !slices.Equal(w.told, want) {
		t.Errorf("presence was told %v, not %v", w.told, want)
	}
}
