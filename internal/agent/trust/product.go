package trust

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
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
	if demand.Policy == enrol.PlainOpsi {
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

func (k *Keeper) vouched(policy enrol.Policy, tree Tree) (v Vouched, err error) {
	t := k.believed()
	if t == nil {
		return v, fleet.WithHint(fmt.Errorf("the policy here is %s, and this machine holds no trust root", policy), "fernwerk-agent trust status says why")
	}
	if tree.Digest == ([32]byte{}) {
		return v, fleet.WithHint(fmt.Errorf("the policy here is %s, and there is only a .files list, which nobody signed", policy),
			"fetch it from a depot of Fernwerk, which has the manifest")
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
		case !trust.Counts(policy, role):
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

// Script says whether the file that the server names for an action is the one that
// was signed with the tree: whoever may choose another file of a signed tree runs
// what nobody signed.
func (v Vouched) Script(action, named string) error {
	if v.Role == "" { // plain-opsi
		return nil
	}
	signed := v.Scripts[action+"Script"]
	if strings.ReplaceAll(named, `\`, "/") == strings.ReplaceAll(signed, `\`, "/") {
		return nil
	}
	return fleet.WithHint(fleet.Errorf(fleet.Denied, "refused: for %s the server names %q, and %q is signed", action, named, signed),
		"build the package again with --sign if its scripts changed; if they did not, somebody changed them on the server")
}

// Configuration is the signed configuration for this machine, with or without a
// server, in the order in which it is laid over the machine's own file.
func (k *Keeper) Configuration(nodeType string) []conf.Signed {
	t := k.believed()
	if demand, err := k.Demand(); t == nil || err != nil || demand.Policy == enrol.PlainOpsi {
		return nil
	}
	names := []string{trust.ConfName("")}
	if nodeType != "" {
		names = append(names, trust.ConfName(nodeType))
	}
	var out []conf.Signed
	for _, name := range names {
		target, _, ok := t.Find(name)
		if !ok {
			continue
		}
		k.mu.Lock()
		text, ok := k.content[digestText(target)]
		k.mu.Unlock()
		if ok && target.Check(text) == nil {
			out = append(out, conf.Signed{Name: name, Text: text})
		}
	}
	return out
}
