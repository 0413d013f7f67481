package trust

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Trusted is what a machine believes now. A document enters by an Update method,
// in the order root, timestamp, snapshot, targets, delegated lists; [Trusted.Wants]
// says which come next. The lists change all at once, when the last that the
// snapshot binds together is there: until then the old ones count.
//
// It is not safe for concurrent use; [Trusted.Clone] is cheap.
type Trusted struct {
	root      *Root
	timestamp *Timestamp
	snapshot  *Snapshot
	lists     map[string]*Targets // in use, of one snapshot
	next      map[string]*Targets // being brought together for the newest snapshot
}

// NewTrusted begins with a root that is believed for another reason: its digest
// came with the machine's token.
func NewTrusted(root []byte) (*Trusted, error) {
	r, err := ParseRoot(root)
	if err == nil {
		err = r.Verify(nil)
	}
	if err != nil {
		return nil, err
	}
	return &Trusted{root: r}, nil
}

// Clone is a copy that changes alone.
func (t *Trusted) Clone() *Trusted {
	c := *t
	c.lists, c.next = maps.Clone(t.lists), maps.Clone(t.next)
	return &c
}

// UpdateRoot follows to the next root. What is held and is not signed by keys of
// the new root any more is given up: a list whose key was withdrawn, at once. A
// timestamp or snapshot whose key was replaced takes the other along, and with them
// the version numbers that bar the way back: so a fleet recovers from a thief who
// signed the highest number there is (TUF 5.3.11).
func (t *Trusted) UpdateRoot(data []byte) error {
	r, err := ParseRoot(data)
	if err == nil {
		err = r.Verify(t.root)
	}
	if err != nil {
		return err
	}
	t.root, t.next = r, nil
	if t.timestamp != nil && t.vouched(RoleTimestamp, t.timestamp.env) != nil || t.snapshot != nil && t.vouched(RoleSnapshot, t.snapshot.env) != nil {
		t.timestamp, t.snapshot = nil, nil
	}
	if l := t.lists[RoleTargets]; l != nil && t.vouched(RoleTargets, l.env) != nil {
		t.lists = nil
	}
	t.gather()
	return nil
}

func (t *Trusted) vouched(role string, env *envelope) error {
	return env.verify(role, t.root.Keys, t.root.Roles[role])
}

// UpdateTimestamp takes a newer timestamp, and says whether it was newer. The same
// one again is no error; another with the same number is.
func (t *Trusted) UpdateTimestamp(data []byte) (newer bool, err error) {
	fail := func(err error) (bool, error) {
		return false, fleet.Errorf(fleet.CodeOf(err), "cannot believe the timestamp: %w", err)
	}
	n, err := ParseTimestamp(data)
	if err != nil {
		return false, err
	}
	if err := t.vouched(RoleTimestamp, n.env); err != nil {
		return fail(err)
	}
	if old := t.timestamp; old != nil {
		switch {
		case n.Version == old.Version && bytes.Equal(n.env.signed, old.env.signed):
			return false, nil
		case n.Version == old.Version:
			return fail(fleet.Errorf(fleet.Denied, "it is another one than the one held, with the same number %d", n.Version))
		case n.Version < old.Version:
			return fail(fleet.Errorf(fleet.Denied, "it is number %d, and number %d is held", n.Version, old.Version))
		case n.Snapshot.Version < old.Snapshot.Version:
			return fail(fleet.Errorf(fleet.Denied, "it names snapshot %d after snapshot %d", n.Snapshot.Version, old.Snapshot.Version))
		}
	}
	if s := t.snapshot; s != nil && n.Snapshot.Version < s.Version {
		return fail(fleet.Errorf(fleet.Denied, "it names snapshot %d, and snapshot %d is held", n.Snapshot.Version, s.Version))
	}
	t.timestamp = n
	return true, nil
}

// UpdateSnapshot takes the snapshot that the timestamp names.
func (t *Trusted) UpdateSnapshot(data []byte) error {
	fail := func(err error) error {
		return fleet.Errorf(fleet.CodeOf(err), "cannot believe the snapshot: %w", err)
	}
	if t.timestamp == nil {
		return fail(fleet.Errorf(fleet.Denied, "no timestamp is held"))
	}
	if err := t.timestamp.Snapshot.matches(data); err != nil {
		return fail(err)
	}
	n, err := ParseSnapshot(data)
	if err != nil {
		return err
	}
	if err := t.vouched(RoleSnapshot, n.env); err != nil {
		return fail(err)
	}
	if n.Version != t.timestamp.Snapshot.Version {
		return fail(fleet.Errorf(fleet.Denied, "it is number %d, and the timestamp names %d", n.Version, t.timestamp.Snapshot.Version))
	}
	if old := t.snapshot; old != nil {
		if n.Version == old.Version && !bytes.Equal(n.env.signed, old.env.signed) {
			return fail(fleet.Errorf(fleet.Denied, "it is another one than the one held, with the same number %d", n.Version))
		}
		for role, was := range old.Meta {
			now, ok := n.Meta[role]
			if !ok {
				return fail(fleet.Errorf(fleet.Denied, "it does not name the list of the role %s any more", role))
			}
			if now.Version < was.Version {
				return fail(fleet.Errorf(fleet.Denied, "it goes back from list %d of the role %s to %d", was.Version, role, now.Version))
			}
		}
	}
	t.snapshot, t.next = n, nil
	t.gather()
	return nil
}

// UpdateTargets takes a list that the snapshot names.
func (t *Trusted) UpdateTargets(role string, data []byte) error {
	fail := func(err error) error {
		return fleet.Errorf(fleet.CodeOf(err), "cannot believe the list of the role %s: %w", role, err)
	}
	if t.snapshot == nil {
		return fail(fleet.Errorf(fleet.Denied, "no snapshot is held"))
	}
	meta, ok := t.snapshot.Meta[role]
	if !ok {
		return fail(fleet.Errorf(fleet.Denied, "the snapshot does not name it"))
	}
	if err := meta.matches(data); err != nil {
		return fail(err)
	}
	n, err := ParseTargets(role, data)
	if err != nil {
		return err
	}
	if n.Version != meta.Version {
		return fail(fleet.Errorf(fleet.Denied, "it is number %d, and the snapshot names %d", n.Version, meta.Version))
	}
	if role == RoleTargets {
		err = t.vouched(role, n.env)
	} else {
		err = n.within(role, t.next[RoleTargets])
	}
	if err != nil {
		return fail(err)
	}
	if role == RoleTargets || t.next == nil {
		t.next = map[string]*Targets{}
	}
	t.next[role] = n
	t.gather()
	return nil
}

// within checks a delegated list against the one that delegates.
func (t *Targets) within(role string, above *Targets) error {
	if above == nil {
		return fleet.Errorf(fleet.Denied, "the list that delegates to it is not held")
	}
	g, ok := above.Delegation(role)
	if !ok {
		return fleet.Errorf(fleet.Denied, "nothing is delegated to it")
	}
	if err := t.env.verify(role, above.Keys, g.Role); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.Targets)) {
		if !g.Covers(name) {
			return fleet.Errorf(fleet.Denied, "it speaks of %s, which is not its own", clip(name))
		}
	}
	return nil
}

// gather takes over what is held and has not changed, and changes to the next
// lists when all are there.
func (t *Trusted) gather() {
	if t.snapshot == nil {
		return
	}
	if t.next == nil {
		t.next = map[string]*Targets{}
	}
	top := t.keep(RoleTargets, func(l *Targets) error { return t.vouched(RoleTargets, l.env) })
	if top == nil {
		return
	}
	all := map[string]*Targets{RoleTargets: top}
	for _, g := range top.Delegations {
		if _, ok := t.snapshot.Meta[g.Name]; !ok {
			continue // given away, and not taken up yet
		}
		l := t.keep(g.Name, func(l *Targets) error { return l.within(g.Name, top) })
		if l == nil {
			return
		}
		all[g.Name] = l
	}
	t.lists = all
}

// keep is the list of a role that belongs to the snapshot, if it is there.
func (t *Trusted) keep(role string, check func(*Targets) error) *Targets {
	meta := t.snapshot.Meta[role]
	for _, l := range []*Targets{t.next[role], t.lists[role]} {
		if l != nil && l.Version == meta.Version && meta.matches(l.env.raw) == nil && check(l) == nil {
			t.next[role] = l
			return l
		}
	}
	return nil
}

// Want is a document to fetch next.
type Want struct {
	Role    string
	Version int64
	Limit   int64 // bytes; what comes after is not to be read
}

// Wants are the documents that are announced and not held, in the order in which
// they must come. It is empty when all is there.
func (t *Trusted) Wants() []Want {
	want := func(role string, m Meta) []Want { return []Want{{role, m.Version, m.Limit(role)}} }
	switch {
	case t.timestamp == nil:
		return nil
	case t.snapshot == nil || t.snapshot.Version != t.timestamp.Snapshot.Version:
		return want(RoleSnapshot, t.timestamp.Snapshot)
	case t.next[RoleTargets] == nil:
		return want(RoleTargets, t.snapshot.Meta[RoleTargets])
	}
	var out []Want
	for _, g := range t.next[RoleTargets].Delegations {
		if m, ok := t.snapshot.Meta[g.Name]; ok && t.next[g.Name] == nil {
			out = append(out, want(g.Name, m)...)
		}
	}
	return out
}

// Find is what is signed under a name, and the role that vouches for it.
func (t *Trusted) Find(name string) (Target, string, bool) {
	top := t.lists[RoleTargets]
	if top == nil {
		return Target{}, "", false
	}
	if target, ok := top.Targets[name]; ok {
		return target, RoleTargets, true
	}
	for _, g := range top.Delegations {
		if !g.Covers(name) {
			continue
		}
		if l := t.lists[g.Name]; l != nil {
			if target, ok := l.Targets[name]; ok {
				return target, g.Name, true
			}
		}
		if g.Terminating {
			break
		}
	}
	return Target{}, "", false
}

// Names are the signed names with a prefix, in order.
func (t *Trusted) Names(prefix string) []string {
	found := map[string]bool{}
	for _, l := range t.lists {
		for name := range l.Targets {
			if strings.HasPrefix(name, prefix) && !found[name] {
				_, _, found[name] = t.Find(name)
			}
		}
	}
	maps.DeleteFunc(found, func(_ string, ok bool) bool { return !ok })
	return slices.Sorted(maps.Keys(found))
}

// StaleSince says since when something of what is held is past its time. With no
// list held at all it is stale since ever, the zero time. It is for whoever demands
// freshness: to use what is held, it need not be fresh.
func (t *Trusted) StaleSince(now time.Time) (since time.Time, stale bool) {
	if t.timestamp == nil || t.snapshot == nil || t.lists[RoleTargets] == nil {
		return time.Time{}, true
	}
	all := []time.Time{t.root.Expires, t.timestamp.Expires, t.snapshot.Expires}
	for _, l := range t.lists {
		all = append(all, l.Expires)
	}
	since = slices.MinFunc(all, time.Time.Compare)
	return since, !now.Before(since)
}

// Issued is when the newest timestamp was signed: it cannot be earlier now.
func (t *Trusted) Issued() time.Time {
	if t.timestamp == nil {
		return time.Time{}
	}
	return t.timestamp.Issued
}

// Root is the root that is believed now.
func (t *Trusted) Root() *Root { return t.root }

// Versions are the numbers of the newest documents that were believed. Of lists it
// is those in use.
func (t *Trusted) Versions() enrol.Versions {
	out := enrol.Versions{RoleRoot: t.root.Version}
	if t.timestamp != nil {
		out[RoleTimestamp] = t.timestamp.Version
	}
	if t.snapshot != nil {
		out[RoleSnapshot] = t.snapshot.Version
	}
	for role, l := range t.lists {
		out[role] = l.Version
	}
	return out
}
