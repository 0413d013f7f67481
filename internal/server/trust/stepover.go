package trust

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// highest is above every number that a server of ours gives. A thief of an online
// key who signs one as high bars the way for good; then new keys are named.
const highest = 1 << 52

// Lacks names the documents of which a host has newer ones than we have. Another
// server of ours may have made them a moment ago: showing them is no harm then.
func (t *Trust) Lacks(_ *store.Tx, host enrol.Versions) ([]string, error) {
	s := t.served.Load()
	if !s.root {
		return nil, nil
	}
	var out []string
	for _, role := range append([]string{trust.RoleRoot, trust.RoleTargets}, online...) {
		if host[role] > s.newest[role] {
			out = append(out, role)
		}
	}
	return out, nil
}

// StepOver takes what a host shows of a document that we lack: whole, if it is a
// root or a list that counts, else its number, so that our next one is higher. A
// document that is not validly signed is Denied, one that is not newer no error.
func (t *Trust) StepOver(tx *store.Tx, role string, data []byte) error {
	s, err := load(tx)
	if err != nil {
		return err
	}
	if s.root == nil {
		return noRoot()
	}
	if err := t.stepOver(tx, s, role, data); err != nil {
		return fleet.Errorf(fleet.CodeOf(err), "cannot step over the document of the role %.40q that a host shows: %w", role, err)
	}
	return nil
}

func (t *Trust) stepOver(tx *store.Tx, s *state, role string, data []byte) error {
	version, err := s.shown(role, data)
	if err != nil || version <= s.newest[role] {
		return err
	}
	if err := t.able(tx, s, role, data); err != nil {
		return err
	}
	switch role {
	case trust.RoleRoot:
		err = t.take(tx, s, publication{roots: [][]byte{data}})
	case trust.RoleTargets:
		err = t.take(tx, s, publication{targets: data})
	default:
		if version >= highest {
			return fleet.WithHint(fleet.Errorf(fleet.Denied, "number %d is none of ours: a key of the role was stolen", version),
				"name new keys with: fernwerk trust rotate online; then: fernwerk trust publish")
		}
		s.newest[role] = version // what is signed below gets the next one
	}
	if err != nil {
		return err
	}
	if err := tx.Note("trust", role, "stepped over", fleet.Row{"version": version}); err != nil {
		return err
	}
	return t.settle(tx, s)
}

// able refuses, before anything is written, what would leave us with documents
// that we cannot go on with: the transaction is the host's check-in, and goes on.
func (t *Trust) able(tx *store.Tx, s *state, role string, data []byte) (err error) {
	root, list := s.root, s.targets
	switch role {
	case trust.RoleRoot:
		if root, err = trust.ParseRoot(data); err != nil {
			return err
		}
	case trust.RoleTargets:
		if list, err = trust.ParseTargets(role, data); err != nil {
			return err
		}
	}
	if list == nil {
		return nil
	}
	if err := trust.VerifyBy(trust.RoleTargets, list.Raw(), root.Keys, root.Roles[trust.RoleTargets]); err != nil {
		return fleet.WithHint(err, "hand in what is newer: fernwerk trust publish")
	}
	r, err := t.keys(tx)
	if err != nil {
		return err
	}
	for _, name := range []string{trust.RoleSnapshot, trust.RoleTimestamp} {
		if _, err := r.signers(name, root.Roles[name]); err != nil {
			return err
		}
	}
	if g, ok := list.Delegation(trust.Depot); ok {
		_, err = r.signers(trust.Depot, g.Role)
	}
	return err
}

// shown verifies a document of a host by the keys that count now, and returns its
// number.
func (s *state) shown(role string, data []byte) (int64, error) {
	switch role {
	case trust.RoleRoot:
		r, err := trust.ParseRoot(data)
		if err != nil || r.Version <= s.root.Version {
			return 0, err
		}
		return r.Version, r.Verify(s.root) // one that is further away cannot be judged
	case trust.RoleTargets:
		d, err := trust.ParseTargets(role, data)
		if err != nil {
			return 0, err
		}
		return d.Version, trust.VerifyBy(role, data, s.root.Keys, s.root.Roles[role])
	case trust.Depot:
		d, err := trust.ParseTargets(role, data)
		if err != nil || s.targets == nil {
			return 0, err
		}
		g, _ := s.targets.Delegation(role)
		return d.Version, trust.VerifyBy(role, data, s.targets.Keys, g.Role)
	case trust.RoleSnapshot:
		d, err := trust.ParseSnapshot(data)
		if err != nil {
			return 0, err
		}
		return d.Version, trust.VerifyBy(role, data, s.root.Keys, s.root.Roles[role])
	case trust.RoleTimestamp:
		d, err := trust.ParseTimestamp(data)
		if err != nil {
			return 0, err
		}
		return d.Version, trust.VerifyBy(role, data, s.root.Keys, s.root.Roles[role])
	}
	return 0, fleet.Errorf(fleet.Invalid, "there is no such role")
}
