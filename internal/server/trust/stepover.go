package trust

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// highest is above every number that a server of ours gives. A thief of an online
// key who signs one as high bars the way for good; then new keys are named.
const highest = 1 << 52

// StepOver takes what a host shows of a document that we lack: whole, if it is a
// root or a list that counts, else its number, so that our next one is higher. A
// document that is not validly signed is Denied, one that is not newer no error.
func (t *Trust) StepOver(ctx context.Context, role string, data []byte) error {
	err := t.Store.Update(ctx, self, func(tx *store.Tx) error {
		s, err := load(tx)
		if err != nil {
			return err
		}
		if s.root == nil {
			return noRoot()
		}
		version, err := s.shown(role, data)
		if err != nil || version <= s.newest[role] {
			return err
		}
		switch role {
		case trust.RoleRoot, trust.RoleTargets:
			p := publication{}
			if role == trust.RoleRoot {
				p.roots = [][]byte{data}
			} else {
				p.targets = data
			}
			if err := t.take(tx, s, p); err != nil {
				return err
			}
		default:
			if version >= highest {
				return fleet.WithHint(fleet.Errorf(fleet.Denied, "number %d is none of ours: a key of the role was stolen", version),
					"name new keys with: fernwerk trust rotate online; then: fernwerk trust publish")
			}
			if err := tx.Put(floors, floors.Encode(floor{role, version})); err != nil {
				return err
			}
			s.newest[role] = version
		}
		if err := tx.Note("trust", role, "stepped over", fleet.Row{"version": version}); err != nil {
			return err
		}
		return t.settle(tx, s)
	})
	if err != nil {
		return fleet.Errorf(fleet.CodeOf(err), "cannot step over the document of the role %.40q that a host shows: %w", role, err)
	}
	return t.refresh(ctx)
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
