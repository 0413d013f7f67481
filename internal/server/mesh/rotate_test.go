package mesh_test

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/slackhq/nebula/cert"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
)

// peer is a node as its agent is: it keeps what it gets, and says what it holds.
type peer struct {
	w         *world
	id        string
	req       content.Request
	authority []byte
	ca, cert  string
}

func (p *peer) asks() {
	p.w.t.Helper()
	out := p.w.ask(p.id, p.req)
	if out.Certificate != "" {
		p.cert, p.req.Holds = out.Certificate, out.Fingerprint
	}
	if out.Map == nil {
		return
	}
	if p.authority == nil {
		p.authority = out.Map.Key
	}
	m, err := out.Map.Open(p.authority)
	if err != nil {
		p.w.t.Fatalf("%s does not take the map: %v", p.id, err)
	}
	p.authority, p.ca = out.Map.Key, m.CA
	p.req.Tag, p.req.Believes = content.Tag(out.Map.Map), content.Tag([]byte(m.CA))
}

// believes tells whether a node takes another's certificate.
func (p *peer) believes(other *peer) bool {
	p.w.t.Helper()
	pool, err := cert.NewCAPoolFromPEM([]byte(p.ca))
	if err != nil && !errors.Is(err, cert.ErrExpired) { // it looks at the machine's clock
		p.w.t.Fatal(err)
	}
	c, _, err := cert.UnmarshalCertificateFromPEM([]byte(other.cert))
	if err != nil {
		p.w.t.Fatal(err)
	}
	_, err = pool.VerifyCertificate(p.w.now, c)
	return err == nil
}

// A new authority takes the old one's place, and no two nodes that ask ever cease to
// believe each other. One that slept comes back, and finds the new one by the old one's
// word.
func TestRotate(t *testing.T) {
	w := newWorld(t)
	one := &peer{w: w, id: "one.example.org", req: w.host("one.example.org", "10.134.0.11")}
	two := &peer{w: w, id: "two.example.org", req: w.host("two.example.org", "10.134.0.12")}
	asleep := &peer{w: w, id: "asleep.example.org", req: w.host("asleep.example.org", "10.134.0.13")}
	all := []*peer{one, two, asleep}
	rotate := func(finish bool) (r content.Rotation, err error) {
		err = w.store.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) (err error) { r, err = w.mesh.Rotate(tx, finish); return err })
		return r, err
	}
	stage := func() (r content.Rotation) {
		t.Helper()
		if err := w.store.View(t.Context(), func(tx *store.Tx) (err error) { r, err = w.mesh.Rotation(tx); return err }); err != nil {
			t.Fatal(err)
		}
		return r
	}
	// round lets nodes ask, one after the other; after each the hub goes on.
	round := func(some ...*peer) {
		t.Helper()
		for _, p := range some {
			w.later(30 * time.Second)
			p.asks()
			if err := w.mesh.Advance(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, a := range some {
				for _, b := range some {
					if a.ca != "" && b.cert != "" && !a.believes(b) {
						t.Fatalf("%s: %s does not believe %s", stage().Stage, a.id, b.id)
					}
				}
			}
		}
	}
	round(all...)
	round(all...)
	old := one.authority
	if _, err := rotate(true); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("finish with nothing begun: %v", err)
	}
	if r, err := rotate(false); err != nil || r.Stage != content.Learning || len(r.Waiting) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := rotate(false); fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
		t.Errorf("twice: %v", err)
	}
	round(one, two)
	if r := stage(); r.Stage != content.Learning || !slices.Contains(r.Waiting, asleep.id) {
		t.Errorf("one has not been told, and asked a minute ago: %+v", r)
	}
	for range 5 { // so long that the third one sleeps
		round(one, two)
	}
	if r := stage(); r.Stage != content.Moving {
		t.Errorf("all who ask know both: %+v", r)
	}
	round(one, two)
	round(one, two)
	if r := stage(); !slices.Equal(r.Waiting, []string{asleep.id}) {
		t.Errorf("%+v", r)
	}
	if one.believes(&peer{w: w, cert: asleep.cert}) == false {
		t.Error("who sleeps and may come back is believed no more")
	}
	// Another server of the database, which was not there when it began.
	w.mesh = mesh.New(w.mesh.Config)
	r, err := rotate(true)
	if err != nil || r.Stage != content.Settled || !slices.Equal(r.Waiting, []string{asleep.id}) {
		t.Fatalf("%+v, %v", r, err)
	}
	round(one, two)
	if one.believes(asleep) {
		t.Error("a certificate of the old authority is believed")
	}
	w.later(time.Second)
	asleep.asks()
	round(all...)
	round(all...)
	if string(asleep.authority) == string(old) || string(asleep.authority) != string(one.authority) {
		t.Error("the authorities differ")
	}
	// Again, and by itself to the end.
	if _, err := rotate(false); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		round(all...)
	}
	if r := stage(); r.Stage != content.Settled {
		t.Errorf("%+v", r)
	}
	// Who knows the first one only finds the third, and nobody else's.
	found := w.ask(one.id, content.Request{Key: one.req.Key})
	if _, err := found.Map.Open(old); err != nil {
		t.Error(err)
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := *found.Map
	forged.Key, forged.Signature = public, ed25519.Sign(key, content.Text(forged.Map))
	forged.Heirs = append(slices.Clone(forged.Heirs), content.Heir{Of: one.authority, Key: public, Signature: ed25519.Sign(key, content.HeirText(public))})
	if _, err := forged.Open(old); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("an heir that nobody named: %v", err)
	}
}
