package trust

import (
	"bytes"
	"maps"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Follow has what the server signs follow what there is: the trees of depots, the
// list that was signed offline, the time. It signs nothing where nothing changed.
func (t *Trust) Follow(tx *store.Tx) error {
	s, err := load(tx)
	if err != nil {
		return err
	}
	return t.settle(tx, s)
}

// settle makes the server's own documents what they must be.
func (t *Trust) settle(tx *store.Tx, s *state) error {
	if s.root == nil || s.targets == nil {
		return nil // nothing to vouch for yet
	}
	r, err := t.keys(tx)
	if err != nil {
		return err
	}
	now := t.Now().UTC().Truncate(time.Second)
	if err := s.settleDepot(tx, r, now); err != nil {
		return err
	}
	if err := s.settleSnapshot(tx, r, now); err != nil {
		return err
	}
	changed, err := s.settleTimestamp(tx, r, now)
	if err == nil && changed {
		tx.Wake(topic)
	}
	return err
}

// settleDepot signs the list of the delegated role.
func (s *state) settleDepot(tx *store.Tx, r ring, now time.Time) error {
	g, ok := s.targets.Delegation(trust.Depot)
	if !ok {
		return nil
	}
	trees, err := store.All[depots.Tree](tx, depots.Trees, nil)
	if err != nil {
		return err
	}
	want := map[string]trust.Target{}
	for _, tree := range trees {
		maps.Copy(want, judge(s.targets, tree).vouch)
	}
	good := s.depot != nil && trust.VerifyBy(trust.Depot, s.depot.Raw(), s.targets.Keys, g.Role) == nil && s.depot.Version >= s.newest[trust.Depot]
	if good && maps.EqualFunc(want, s.depot.Targets, sameTarget) && s.depot.Expires.Sub(now) > listLeft {
		return nil
	}
	keys, err := r.signers(trust.Depot, g.Role)
	if err != nil {
		return err
	}
	list := &trust.Targets{Header: trust.Header{Version: s.newest[trust.Depot] + 1, Expires: now.Add(listLife)}, Targets: want}
	data, err := trust.Sign(list, keys...)
	if err != nil {
		return err
	}
	return s.put(tx, trust.Depot, list.Version, data)
}

func sameTarget(a, b trust.Target) bool {
	return a.Length == b.Length && a.SHA256 == b.SHA256 && bytes.Equal(a.Custom, b.Custom)
}

func (s *state) settleSnapshot(tx *store.Tx, r ring, now time.Time) error {
	want := map[string]trust.Meta{trust.RoleTargets: trust.MetaOf(s.targets.Version, s.targets.Raw())}
	if s.depot != nil {
		want[trust.Depot] = trust.MetaOf(s.depot.Version, s.depot.Raw())
	}
	role := s.root.Roles[trust.RoleSnapshot]
	good := s.snapshot != nil && trust.VerifyBy(trust.RoleSnapshot, s.snapshot.Raw(), s.root.Keys, role) == nil && s.snapshot.Version >= s.newest[trust.RoleSnapshot]
	if good && maps.Equal(want, s.snapshot.Meta) && s.snapshot.Expires.Sub(now) > listLeft {
		return nil
	}
	keys, err := r.signers(trust.RoleSnapshot, role)
	if err != nil {
		return err
	}
	doc := &trust.Snapshot{Header: trust.Header{Version: s.newest[trust.RoleSnapshot] + 1, Expires: now.Add(listLife)}, Meta: want}
	data, err := trust.Sign(doc, keys...)
	if err != nil {
		return err
	}
	return s.put(tx, trust.RoleSnapshot, doc.Version, data)
}

func (s *state) settleTimestamp(tx *store.Tx, r ring, now time.Time) (changed bool, err error) {
	want := trust.MetaOf(s.snapshot.Version, s.snapshot.Raw())
	role := s.root.Roles[trust.RoleTimestamp]
	good := s.timestamp != nil && trust.VerifyBy(trust.RoleTimestamp, s.timestamp.Raw(), s.root.Keys, role) == nil &&
		s.timestamp.Version >= s.newest[trust.RoleTimestamp]
	if good && s.timestamp.Snapshot == want && !due(s.timestamp.Expires, now) {
		return false, nil
	}
	keys, err := r.signers(trust.RoleTimestamp, role)
	if err != nil {
		return false, err
	}
	doc := &trust.Timestamp{Header: trust.Header{Version: s.newest[trust.RoleTimestamp] + 1, Expires: now.Add(timestampLife)}, Snapshot: want, Issued: now}
	data, err := trust.Sign(doc, keys...)
	if err != nil {
		return false, err
	}
	return true, s.put(tx, trust.RoleTimestamp, doc.Version, data)
}

// due says that a timestamp is a day old, or from a future that a wrong clock
// made.
func due(expires, now time.Time) bool {
	left := expires.Sub(now)
	return left <= timestampLife-timestampEach || left > timestampLife+time.Hour
}
