package trust

import (
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// State is what must survive of a [Trusted]: the bytes of its documents. The
// newest timestamp and snapshot are the floor below which nothing is believed; the
// lists may still belong to the snapshot before.
type State struct {
	Root, Timestamp, Snapshot []byte
	Lists                     map[string][]byte
}

// State gives what is to be kept.
func (t *Trusted) State() State {
	s := State{Root: t.root.env.raw, Lists: map[string][]byte{}}
	if t.timestamp != nil {
		s.Timestamp = t.timestamp.env.raw
	}
	if t.snapshot != nil {
		s.Snapshot = t.snapshot.env.raw
	}
	for role, l := range t.lists {
		s.Lists[role] = l.env.raw
	}
	return s
}

// Restore goes on with what was kept. Every signature is checked again.
func Restore(s State) (*Trusted, error) {
	t, err := NewTrusted(s.Root)
	if err != nil {
		return nil, err
	}
	if s.Timestamp != nil {
		if _, err := t.UpdateTimestamp(s.Timestamp); err != nil {
			return nil, err
		}
	}
	if s.Snapshot != nil {
		n, err := ParseSnapshot(s.Snapshot)
		if err == nil {
			err = t.vouched(RoleSnapshot, n.env)
		}
		if err != nil {
			return nil, err
		}
		t.snapshot = n
	}
	if top := s.Lists[RoleTargets]; top != nil {
		if err := t.restoreLists(s, top); err != nil {
			return nil, err
		}
	}
	t.gather()
	return t, nil
}

func (t *Trusted) restoreLists(s State, top []byte) error {
	list, err := ParseTargets(RoleTargets, top)
	if err == nil {
		err = t.vouched(RoleTargets, list.env)
	}
	if err != nil {
		return err
	}
	lists := map[string]*Targets{RoleTargets: list}
	for _, role := range slices.Sorted(maps.Keys(s.Lists)) {
		if role == RoleTargets {
			continue
		}
		l, err := ParseTargets(role, s.Lists[role])
		if err == nil {
			err = l.within(role, list)
		}
		if err != nil {
			return fleet.Errorf(fleet.CodeOf(err), "cannot go on with the list of the role %s: %w", role, err)
		}
		lists[role] = l
	}
	t.lists = lists
	return nil
}
