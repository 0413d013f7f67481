package trust

import (
	"bytes"
	"context"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// publication is what is handed in.
type publication struct {
	roots   [][]byte
	targets []byte
}

// noRoot is the error of a server that was not given a root.
func noRoot() error {
	return fleet.WithHint(fleet.Errorf(fleet.NotFound, "this server has no trust root yet: nothing that hosts run is signed"),
		"make one, away from the server, with: fernwerk trust init DIR; then: fernwerk trust publish DIR")
}

// Documents implements [port.Trust].
func (t *Trust) Documents(ctx context.Context, rootsFrom int64) (*port.TrustDocuments, error) {
	out := &port.TrustDocuments{Roots: []string{}}
	err := t.Store.View(ctx, func(tx *store.Tx) error {
		s, err := load(tx)
		if err != nil {
			return err
		}
		for _, version := range slices.Sorted(maps.Keys(s.roots)) {
			if version >= rootsFrom {
				out.Roots = append(out.Roots, string(s.roots[version]))
			}
		}
		for at, doc := range map[*string]interface{ Raw() []byte }{&out.Targets: s.targets, &out.Depot: s.depot, &out.Snapshot: s.snapshot, &out.Timestamp: s.timestamp} {
			if !absent(doc) {
				*at = string(doc.Raw())
			}
		}
		r, err := t.keys(tx)
		if err != nil {
			return err
		}
		out.Online = r.newest()
		out.Contents, err = held(tx)
		return err
	})
	return out, err
}

// absent tells a document that is not there from one behind an interface.
func absent(doc any) bool {
	switch d := doc.(type) {
	case *trust.Targets:
		return d == nil
	case *trust.Snapshot:
		return d == nil
	case *trust.Timestamp:
		return d == nil
	}
	return true
}

// Publish implements [port.Trust].
func (t *Trust) Publish(ctx context.Context, by store.Origin, p port.TrustPublication) (*port.TrustPublished, error) {
	in := publication{}
	for _, text := range p.Roots {
		in.roots = append(in.roots, []byte(text))
	}
	if p.Targets != "" {
		in.targets = []byte(p.Targets)
	}
	var done *port.TrustPublished
	err := t.Store.Update(ctx, by, func(tx *store.Tx) error {
		s, err := load(tx)
		if err != nil {
			return err
		}
		for _, data := range p.Contents {
			if err := putContent(tx, data); err != nil {
				return err
			}
		}
		if err := t.take(tx, s, in); err != nil {
			return err
		}
		if err := t.settle(tx, s); err != nil {
			return err
		}
		done = s.published()
		return nil
	})
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeOf(err), "cannot publish: %w", err)
	}
	return done, t.refresh(ctx)
}

func (s *state) published() *port.TrustPublished {
	out := &port.TrustPublished{}
	if s.root != nil {
		out.Root = s.root.Version
	}
	if s.targets != nil {
		out.Targets = s.targets.Version
	}
	if s.depot != nil {
		out.Depot = s.depot.Version
	}
	if s.snapshot != nil {
		out.Snapshot = s.snapshot.Version
	}
	if s.timestamp != nil {
		out.Timestamp = s.timestamp.Version
	}
	return out
}

// take checks what is handed in against what is there, and keeps it.
func (t *Trust) take(tx *store.Tx, s *state, p publication) error {
	for _, data := range p.roots {
		if err := s.takeRoot(tx, data); err != nil {
			return err
		}
	}
	if p.targets != nil {
		if s.root == nil {
			return noRoot()
		}
		if err := s.takeTargets(tx, p.targets); err != nil {
			return err
		}
	}
	if s.root != nil && s.targets != nil {
		if err := trust.VerifyBy(trust.RoleTargets, s.targets.Raw(), s.root.Keys, s.root.Roles[trust.RoleTargets]); err != nil {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the list %d is not signed by the keys that root %d names: %w", s.targets.Version, s.root.Version, err),
				"hand in the list with the root: fernwerk trust publish does")
		}
	}
	return nil
}

// takeRoot follows to the next root; one that is there already is no error.
func (s *state) takeRoot(tx *store.Tx, data []byte) error {
	r, err := trust.ParseRoot(data)
	if err != nil {
		return err
	}
	if have, known := s.roots[r.Version]; known {
		if bytes.Equal(have, data) {
			return nil
		}
		return fork("root", r.Version)
	}
	if s.root == nil && r.Version != 1 {
		return fleet.Errorf(fleet.Conflict, "the first root must be number 1, not %d", r.Version)
	}
	if err := r.Verify(s.root); err != nil {
		return err
	}
	if err := tx.Note("trust", trust.RoleRoot, "published", fleet.Row{"version": r.Version}); err != nil {
		return err
	}
	return s.put(tx, trust.RoleRoot, r.Version, data)
}

func fork(what string, version int64) error {
	return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has another %s with the number %d", what, version),
		"somebody else has signed meanwhile: take the server's with: fernwerk trust pull DIR --discard; then sign yours again")
}

// takeTargets takes a newer list, if its contents are there.
func (s *state) takeTargets(tx *store.Tx, data []byte) error {
	list, err := trust.ParseTargets(trust.RoleTargets, data)
	if err != nil {
		return err
	}
	if s.targets != nil {
		switch {
		case bytes.Equal(data, s.targets.Raw()):
			return nil
		case list.Version == s.targets.Version:
			return fork("list", list.Version)
		case list.Version < s.targets.Version:
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has list %d already, this is number %d", s.targets.Version, list.Version),
				"take the server's with: fernwerk trust pull DIR; then sign yours again")
		}
	}
	if err := trust.VerifyBy(trust.RoleTargets, data, s.root.Keys, s.root.Roles[trust.RoleTargets]); err != nil {
		return fleet.Errorf(fleet.Denied, "list %d does not count: %w", list.Version, err)
	}
	have, err := held(tx)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(list.Targets)) {
		if !trust.HasContent(name) {
			continue
		}
		sum := list.Targets[name].SHA256
		text := hex.EncodeToString(sum[:])
		if wanted[text] = true; !slices.Contains(have, text) {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the content of %s is not here", name), "hand it in first: fernwerk trust publish does")
		}
	}
	if err := drop(tx, have, wanted); err != nil {
		return err
	}
	if err := tx.Note("trust", trust.RoleTargets, "published", fleet.Row{"version": list.Version, "targets": int64(len(list.Targets))}); err != nil {
		return err
	}
	return s.put(tx, trust.RoleTargets, list.Version, data)
}

// drop removes contents that the list does not name any more: what was withdrawn
// is not given out.
func drop(tx *store.Tx, have []string, wanted map[string]bool) error {
	for _, sum := range have {
		if !wanted[sum] {
			if err := tx.Remove(contents, fleet.Row{"sha256": sum}); err != nil {
				return err
			}
		}
	}
	return nil
}
