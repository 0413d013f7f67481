package depot

import (
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// requirements checks that the packages which this one needs are on the depot.
func (in *installation) requirements(tx *store.Tx) error {
	if in.opts.Force {
		return nil
	}
	for _, need := range in.control.Depends {
		rows, err := in.onDepot(tx, string(need.Package))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(r fleet.ProductOnDepot) bool { return satisfies(r, need) }) {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "%s needs the package %s, which depot %s does not have", in.name, need, in.DepotID),
				"install that package first, or force the installation")
		}
	}
	return nil
}

func satisfies(r fleet.ProductOnDepot, need control.Depend) bool {
	have := r.ProductVersion
	if strings.Contains(need.Version, "-") {
		have += "-" + r.PackageVersion
	}
	order := fleet.CompareVersions(have, need.Version)
	switch need.Condition {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case "=":
		return order == 0
	case ">=":
		return order >= 0
	case ">":
		return order > 0
	}
	return true
}

// putProduct writes the rows of the package and takes away those of the version
// that it replaces.
func (in *installation) putProduct(tx *store.Tx) (replaced string, err error) {
	p := in.control.Product
	if err := tx.Put(fleet.Products, fleet.Products.Encode(p)); err != nil {
		return "", err
	}
	version := fleet.Filter{"productId": string(p.ID), "productVersion": p.ProductVersion, "packageVersion": p.PackageVersion}
	if err := putExactly(tx, fleet.ProductProperties, version, in.control.Properties); err != nil {
		return "", err
	}
	if err := putExactly(tx, fleet.ProductDependencies, version, in.control.Dependencies); err != nil {
		return "", err
	}
	now := fleet.ProductOnDepot{ProductID: p.ID, ProductType: p.Type, ProductVersion: p.ProductVersion, PackageVersion: p.PackageVersion, DepotID: in.id}
	before, err := in.onDepot(tx, string(p.ID))
	if err != nil {
		return "", err
	}
	if err := tx.Put(fleet.ProductsOnDepots, fleet.ProductsOnDepots.Encode(now)); err != nil {
		return "", err
	}
	for _, r := range before {
		replaced = r.ProductVersion + "-" + r.PackageVersion
		r.Locked = false
		if r == now {
			continue
		}
		if err := dropVersion(tx, r); err != nil {
			return "", err
		}
	}
	return replaced, in.repairStates(tx)
}

// putExactly makes the rows that match the filter those that are given.
func putExactly[T any](tx *store.Tx, c *fleet.Class, f fleet.Filter, want []T) error {
	keep := map[string]bool{}
	for _, v := range want {
		row := c.Encode(v)
		keep[c.Key(row)] = true
		if err := tx.Put(c, row); err != nil {
			return err
		}
	}
	rows, err := tx.Select(c, f)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !keep[c.Key(r)] {
			if err := tx.Remove(c, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropVersion removes a version from its depot, and the product with all that it
// owns if no depot has that version any more.
func dropVersion(tx *store.Tx, r fleet.ProductOnDepot) error {
	if err := tx.Remove(fleet.ProductsOnDepots, fleet.ProductsOnDepots.Encode(r)); err != nil {
		return err
	}
	left, err := tx.Select(fleet.ProductsOnDepots, fleet.Filter{
		"productId": string(r.ProductID), "productVersion": r.ProductVersion, "packageVersion": r.PackageVersion})
	if err != nil || len(left) > 0 {
		return err
	}
	_, err = tx.Delete(fleet.Products, fleet.Filter{
		"id": string(r.ProductID), "productVersion": r.ProductVersion, "packageVersion": r.PackageVersion})
	return err
}

// repairStates gives the depot a value for each property, and takes from the
// depot's and its clients' values what the new version does not allow: opsi does
// both. Values of clients of other depots are left alone.
func (in *installation) repairStates(tx *store.Tx) error {
	product := string(in.control.Product.ID)
	properties := map[string]fleet.ProductProperty{}
	for _, p := range in.control.Properties {
		properties[p.PropertyID] = p
	}
	others, err := in.otherDepots(tx, product)
	if err != nil {
		return err
	}
	states, err := store.All[fleet.ProductPropertyState](tx, fleet.ProductPropertyStates, fleet.Filter{"productId": product})
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, s := range states {
		if others[string(s.ObjectID)] {
			continue
		}
		ours := s.ObjectID == in.id
		prop, known := properties[s.PropertyID]
		kept := allowed(prop, s.Values)
		good := known && len(kept) == len(s.Values)
		if !good && !ours && len(others) > 0 {
			if depot, err := params.DepotOf(tx, string(s.ObjectID)); err != nil {
				return err
			} else if depot != in.DepotID {
				continue
			}
		}
		switch {
		case good:
		case known && len(kept) > 0:
			s.Values = kept
			if err := tx.Put(fleet.ProductPropertyStates, fleet.ProductPropertyStates.Encode(s)); err != nil {
				return err
			}
		default:
			if err := tx.Remove(fleet.ProductPropertyStates, fleet.ProductPropertyStates.Encode(s)); err != nil {
				return err
			}
			continue
		}
		if ours && !in.opts.PackageDefaults {
			has[s.PropertyID] = true
		}
	}
	for _, p := range in.control.Properties {
		if has[p.PropertyID] {
			continue
		}
		s := fleet.ProductPropertyState{ProductID: p.ProductID, PropertyID: p.PropertyID, ObjectID: in.id, Values: p.DefaultValues}
		if err := tx.Put(fleet.ProductPropertyStates, fleet.ProductPropertyStates.Encode(s)); err != nil {
			return err
		}
	}
	return nil
}

// otherDepots are the other depots that have the product.
func (d *Depot) otherDepots(tx *store.Tx, product string) (map[string]bool, error) {
	rows, err := tx.Select(fleet.ProductsOnDepots, fleet.Filter{"productId": product})
	others := map[string]bool{}
	for _, r := range rows {
		if id := r.Str("depotId"); id != d.DepotID {
			others[id] = true
		}
	}
	return others, err
}

// allowed are the values that a property takes.
func allowed(p fleet.ProductProperty, values []any) []any {
	var kept []any
	for _, v := range values {
		_, isBool := v.(bool)
		switch {
		case p.Type == "BoolProductProperty":
			if !isBool {
				continue
			}
		case isBool:
			continue
		case !p.Editable && !slices.Contains(p.PossibleValues, v):
			continue
		}
		kept = append(kept, v)
	}
	if !p.MultiValue && len(kept) > 1 {
		kept = kept[:1]
	}
	return kept
}
