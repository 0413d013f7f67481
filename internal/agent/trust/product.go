package trust

import (
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Tree is a product's tree that wants to be installed.
type Tree struct {
	ProductID, ProductVersion, PackageVersion string
	Digest                                    [32]byte // of its manifest
	Depots                                    []string // that it may have come from
}

// Vouched is why a tree may be installed.
type Vouched struct {
	Role    string        // that signed it; empty under plain-opsi
	Scripts trust.Scripts // which file is run for which action; nil under plain-opsi: as the server says
}

// Product says whether a tree may be installed here, and what of it is run. The
// code of the error is Denied, and its text says what is missing.
func (k *Keeper) Product(tree Tree) (Vouched, error) {
	demand, err := k.Demand()
	if err != nil {
		return Vouched{}, err
	}
	if demand.Policy == trust.PlainOpsi {
		return Vouched{}, nil
	}
	v, err := k.vouched(demand.Policy, tree)
	if err != nil {
		return v, fleet.WithHint(fleet.Errorf(fleet.Denied, "refused %s %s-%s: %w", tree.ProductID, tree.ProductVersion, tree.PackageVersion, err), "%s", hint(err))
	}
	return v, nil
}

func hint(err error) string {
	if h := fleet.HintOf(err); h != "" {
		return h
	}
	return "the package is to be signed where the offline keys are: fernwerk package build --sign; then fernwerk trust publish"
}

func (k *Keeper) vouched(policy trust.Policy, tree Tree) (v Vouched, err error) {
	t := k.believed()
	if t == nil {
		return v, fleet.WithHint(fmt.Errorf("the policy here is %s, and this machine holds no trust root", policy), "fernwerk-agent trust status says why")
	}
	var names []string // what was signed offline is looked at first
	for _, platform := range []string{k.Platform, "any"} {
		names = append(names, trust.ProductName(tree.ProductID, tree.ProductVersion, tree.PackageVersion, platform))
	}
	for _, depot := range tree.Depots {
		for _, platform := range []string{k.Platform, "any"} {
			names = append(names, trust.DepotName(depot, tree.ProductID, tree.ProductVersion, tree.PackageVersion, platform))
		}
	}
	why := fmt.Errorf("it is not signed for this version and platform (%s)", k.Platform)
	for _, name := range names {
		target, role, ok := t.Find(name)
		switch {
		case !ok:
		case target.SHA256 != tree.Digest:
			why = fmt.Errorf("its manifest has the digest %x, and %x is signed as %s", tree.Digest, target.SHA256, name)
		case !policy.Allows(role):
			why = fleet.WithHint(fmt.Errorf("only the server's own key vouches for it (%s), and the policy here is %s", name, policy),
				"sign the tree as the depot has it where the offline keys are; or fernwerk-agent trust policy delegated on this machine")
		default:
			v.Role = role
			if v.Scripts, err = target.Scripts(); err != nil {
				return v, fmt.Errorf("%s: %w", name, err)
			}
			return v, nil
		}
	}
	return v, why
}
