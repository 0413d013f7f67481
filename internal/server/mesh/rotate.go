package mesh

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

// One authority takes another's place in three steps; all of it is in the database, so
// that it goes on over the start of a server, and at another one.
//
// First there are two, and the old one signs: nodes get both with their maps. When all
// who asked lately believe both, the new one signs, also what the hub shows; nodes get
// another certificate at their next question. When all whose certificate counts hold
// one of the new authority, the old one goes. A node that sleeps meanwhile is waited
// for until its certificate is over, or until somebody does not want to wait. It comes
// back by its host identity, and finds the new authority by the word of the old.

// topic wakes the hub: there is another authority.
const topic = "mesh authority"

// years is how long an authority is good.
const years = 20

// authorities are those of the mesh, as the database has them.
func (m *Mesh) authorities(tx *store.Tx) (*certs.Ring, error) {
	text, err := m.Secrets.Find(tx, Secret)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ring != nil && bytes.Equal(text, m.text) {
		return m.ring, nil
	}
	ring, err := certs.ReadRing(text)
	if err != nil {
		return nil, err
	}
	m.ring, m.text = ring, text
	return ring, nil
}

// Rotation is how far the authority's replacement is.
func (m *Mesh) Rotation(tx *store.Tx) (mesh.Rotation, error) {
	ring, err := m.authorities(tx)
	if err != nil {
		return mesh.Rotation{}, err
	}
	return m.rotation(tx, ring)
}

func (m *Mesh) rotation(tx *store.Tx, ring *certs.Ring) (r mesh.Rotation, err error) {
	r = mesh.Rotation{Stage: mesh.Settled, Until: ring.Signing().Until().UTC().Format(time.RFC3339), Waiting: []string{}}
	if !ring.Moving() {
		return r, nil
	}
	all, err := store.All[node](tx, nodes, nil)
	if err != nil {
		return r, err
	}
	told := map[string]said{}
	rows, err := store.All[said](tx, saids, nil)
	for _, s := range rows {
		told[s.HostID] = s
	}
	if err != nil {
		return r, err
	}
	r.Stage = mesh.Learning
	if ring.Signs() {
		r.Stage = mesh.Moving
	}
	believed := mesh.Tag([]byte(ring.Bundle()))
	for _, n := range all {
		id, err := m.Identity(tx, n.HostID)
		if err != nil {
			return r, err
		}
		if !id.Counts || n.NotAfter <= m.Now().Unix() {
			continue
		}
		s := told[n.HostID]
		waits := false
		switch r.Stage {
		case mesh.Learning: // who does not ask learns it when it does
			waits = m.Now().Sub(time.UnixMilli(s.At)) <= lasting*m.Every && s.Believes != believed
		case mesh.Moving:
			waits = s.Holds != n.Fingerprint || !ring.Signing().SignedBy(n.Certificate)
		}
		if waits {
			r.Waiting = append(r.Waiting, n.HostID)
		}
	}
	slices.Sort(r.Waiting)
	return r, nil
}

// Rotate begins to replace the authority, or ends it without those who have not moved.
func (m *Mesh) Rotate(tx *store.Tx, finish bool) (r mesh.Rotation, err error) {
	ring, err := m.authorities(tx)
	if err != nil {
		return r, err
	}
	was, err := m.rotation(tx, ring)
	switch {
	case err != nil:
		return r, err
	case finish && !ring.Moving():
		return r, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot finish to replace the mesh's authority: nothing is begun, or it is done"), "fernwerk mesh rotate-authority begins")
	case !finish && ring.Moving():
		return r, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot replace the mesh's authority: one is being replaced, and waits for %d hosts", len(was.Waiting)), "fernwerk mesh authority says for whom; --finish does not wait for them")
	case finish:
		ring = ring.Drop()
	default:
		now := m.Now()
		if ring, err = ring.Next(m.ServerID, now.Add(-time.Hour), now.AddDate(years, 0, 0)); err != nil {
			return r, err
		}
	}
	if err := m.replace(tx, ring); err != nil {
		return r, err
	}
	r, err = m.rotation(tx, ring)
	if finish { // whom it was not waited for
		r.Waiting = was.Waiting
	}
	return r, err
}

// replace keeps another ring.
func (m *Mesh) replace(tx *store.Tx, ring *certs.Ring) error {
	what := mesh.Settled
	if ring.Moving() {
		what = mesh.Learning
		if ring.Signs() {
			what = mesh.Moving
		}
	}
	if err := tx.Note(fleet.Hosts.Name, m.ServerID, "mesh authority", fleet.Row{"notes": string(what)}); err != nil {
		return err
	}
	tx.Wake(topic) // the hub looks
	return m.Secrets.Keep(tx, Secret, ring.Text())
}

// Advance goes on to the next step if nobody is waited for.
func (m *Mesh) Advance(ctx context.Context) error {
	var ring *certs.Ring
	due := func(tx *store.Tx) (bool, error) {
		var err error
		if ring, err = m.authorities(tx); err != nil || !ring.Moving() {
			return false, err
		}
		r, err := m.rotation(tx, ring)
		return len(r.Waiting) == 0, err
	}
	now := false
	if err := m.Store.View(ctx, func(tx *store.Tx) (err error) { now, err = due(tx); return err }); err != nil || !now {
		return err
	}
	return m.Store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		if still, err := due(tx); err != nil || !still {
			return err
		}
		if !ring.Signs() {
			m.Log.Info("The mesh's new authority signs")
			return m.replace(tx, ring.Turn())
		}
		m.Log.Info("The mesh's old authority is believed no more")
		return m.replace(tx, ring.Drop())
	})
}
