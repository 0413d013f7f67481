package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// mostNamed is how many hosts a judgement names.
const mostNamed = 100

// verdict is what a list that was signed offline says of a tree.
type verdict struct {
	offline []string                // platforms for which it is what was signed
	changed []string                // platforms for which something else was
	vouch   map[string]trust.Target // what the role depot has to sign
}

func judge(list *trust.Targets, tree depots.Tree) verdict {
	v := verdict{vouch: map[string]trust.Target{}}
	var sum [sha256.Size]byte
	if n, err := hex.Decode(sum[:], []byte(tree.Digest)); err != nil || n != len(sum) {
		return v
	}
	for _, platform := range trust.Platforms {
		target, ok := list.Targets[trust.ProductName(tree.Product, tree.ProductVersion, tree.PackageVersion, platform)]
		switch {
		case !ok:
		case target.SHA256 == sum:
			v.offline = append(v.offline, platform)
		default:
			v.changed = append(v.changed, platform)
			// The scripts are those that were signed offline: postinst changes files,
			// not what is run for which action.
			v.vouch[trust.DepotName(tree.DepotID, tree.Product, tree.ProductVersion, tree.PackageVersion, platform)] =
				trust.Target{Length: tree.Length, SHA256: sum, Custom: target.Custom}
		}
	}
	// The package for another platform, or a row of an earlier version, which does
	// not say how long the manifest is.
	if len(v.offline) > 0 || tree.Length == 0 {
		v.vouch = nil
	}
	return v
}

// Judge implements [port.Trust].
func (t *Trust) Judge(tx *store.Tx, depot, product string) (*port.TrustJudgement, error) {
	rows, err := store.All[depots.Tree](tx, depots.Trees, fleet.Filter{"depotId": depot, "product": product})
	if err == nil && len(rows) != 1 {
		err = fleet.Errorf(fleet.NotFound, "cannot judge %.128q: depot %.255s does not have it", product, depot)
	}
	if err != nil {
		return nil, err
	}
	s, err := load(tx)
	if err != nil {
		return nil, err
	}
	t.serve(s) // who is told that it is signed may ask at once
	j := &port.TrustJudgement{Signed: port.SignedByNone, Known: s.root != nil, Platforms: []string{}, Refused: []string{}}
	role := ""
	if s.targets != nil {
		v := judge(s.targets, rows[0])
		_, delegated := s.targets.Delegation(trust.Depot)
		switch {
		case len(v.offline) > 0:
			j.Signed, j.Platforms, role = port.SignedOffline, v.offline, trust.RoleTargets
		case len(v.vouch) > 0 && delegated:
			j.Signed, j.Platforms, role = port.SignedByDepot, v.changed, trust.Depot
		}
	}
	return j, t.refused(tx, j, depot, role)
}

// refused finds the depot's hosts that would not run what a role signed.
func (t *Trust) refused(tx *store.Tx, j *port.TrustJudgement, depot, role string) error {
	if t.Policies == nil || role == trust.RoleTargets {
		return nil
	}
	policies, err := t.Policies(tx)
	if err != nil {
		return err
	}
	hosts, err := tx.Select(fleet.Hosts, fleet.Filter{"type": fleet.OpsiClient})
	if err != nil {
		return err
	}
	ids := make([]string, len(hosts))
	for i, h := range hosts {
		ids[i] = h.Str("id")
	}
	slices.Sort(ids)
	of, err := params.DepotsOf(tx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if of(id) != depot {
			continue
		}
		p, told := policies[id]
		switch {
		case !told:
			j.Silent++
		case p != enrol.PlainOpsi && !trust.Counts(p, role):
			if j.Refusing++; len(j.Refused) < mostNamed {
				j.Refused = append(j.Refused, id)
			}
		}
	}
	return nil
}
