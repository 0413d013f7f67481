package depots

import (
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Change is what a commit makes of a depot's rows.
type Change struct {
	Tree         Tree
	Product      fleet.Product
	Properties   []fleet.ProductProperty
	Dependencies []fleet.ProductDependency
	// PackageDefaults sets the depot's property values to the package's
	// defaults. Else those that the depot has stay, if they are still allowed.
	PackageDefaults bool
	// Values are property values for the depot, by property; they count before
	// all others.
	Values map[string][]any
}

// encode is the change as it travels.
func (ch *Change) encode() map[string]any {
	values := map[string]any{}
	for id, v := range ch.Values {
		values[id] = v
	}
	properties := make([]any, len(ch.Properties))
	for i, p := range ch.Properties {
		properties[i] = fleet.ProductProperties.Encode(p)
	}
	dependencies := make([]any, len(ch.Dependencies))
	for i, d := range ch.Dependencies {
		dependencies[i] = fleet.ProductDependencies.Encode(d)
	}
	return map[string]any{
		"tree": Trees.Encode(ch.Tree), "product": fleet.Products.Encode(ch.Product), "properties": properties, "dependencies": dependencies,
		"packageDefaults": ch.PackageDefaults, "values": values,
	}
}

// changeOf reads a change, and refuses one that is about another product than
// the intent: its rows would not be locked.
func changeOf(c *methods.Call, in Intent) (ch Change, err error) {
	arg, err := c.Rows("change")
	if err != nil || len(arg) != 1 {
		return ch, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter change wants one object", c.Method.Name)
	}
	sub := &methods.Call{Context: c.Context, Actor: c.Actor, Method: c.Method, Args: arg[0]}
	if err := record(sub, Trees, "tree", &ch.Tree); err != nil {
		return ch, err
	}
	if err := record(sub, fleet.Products, "product", &ch.Product); err != nil {
		return ch, err
	}
	if ch.Properties, err = records[fleet.ProductProperty](sub, fleet.ProductProperties, "properties"); err != nil {
		return ch, err
	}
	if ch.Dependencies, err = records[fleet.ProductDependency](sub, fleet.ProductDependencies, "dependencies"); err != nil {
		return ch, err
	}
	ch.PackageDefaults = sub.Flag("packageDefaults", false)
	if ch.Values, err = Values(arg[0]["values"]); err != nil {
		return ch, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
	}
	same := string(ch.Product.ID) == in.Product && ch.Tree.Product == in.Product && ch.Tree.DepotID == in.DepotID
	for _, p := range ch.Properties {
		same = same && p.ProductID == ch.Product.ID
	}
	for _, d := range ch.Dependencies {
		same = same && d.ProductID == ch.Product.ID
	}
	if !same {
		err = fleet.Errorf(fleet.Invalid, "cannot call %s: the change is not all about %q on depot %s", c.Method.Name, in.Product, in.DepotID)
	}
	return ch, err
}

func records[T any](c *methods.Call, class *fleet.Class, name string) ([]T, error) {
	if list, ok := c.Args[name].([]any); ok && len(list) == 0 || c.Args[name] == nil {
		return nil, nil
	}
	rows, err := c.Rows(name)
	out := make([]T, len(rows))
	for i, r := range rows {
		row, err := class.Check(r, fleet.Creating)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
		}
		class.Decode(row, &out[i])
	}
	return out, err
}

// Values reads property values as opsi's tools give them: {property: value or
// list of values}.
func Values(v any) (map[string][]any, error) {
	if v == nil {
		return nil, nil
	}
	given, ok := v.(map[string]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "property values are a mapping, not %T", v)
	}
	out := map[string][]any{}
	for id, value := range given {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		out[strings.ToLower(id)] = list
	}
	return out, nil
}

// Need is a package that must be on the depot before another.
type Need struct {
	Package            fleet.ProductID
	Condition, Version string // "", or one of < <= = >= > and a version, with "-" and the package version or without
}

func (n Need) String() string {
	if n.Condition == "" {
		return string(n.Package)
	}
	return string(n.Package) + " (" + n.Condition + " " + n.Version + ")"
}

// needsOf are the packages that must be on the depot, each as (package,
// condition, version).
func needsOf(c *methods.Call) (needs []Need, err error) {
	list, _ := c.Args["depends"].([]any)
	for _, v := range list {
		one, _ := v.([]any)
		var s [3]string
		for i := range min(len(one), 3) {
			s[i], _ = one[i].(string)
		}
		if len(one) != 3 || fleet.ValidProductID(s[0]) != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter depends wants lists of package, condition, version", c.Method.Name)
		}
		needs = append(needs, Need{Package: fleet.ProductID(s[0]), Condition: s[1], Version: s[2]})
	}
	return needs, nil
}

// meets checks that the packages which one needs are on the depot.
func meets(tx *store.Tx, depot string, needs []Need) error {
	for _, need := range needs {
		rows, err := onDepot(tx, depot, string(need.Package))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(r fleet.ProductOnDepot) bool { return satisfies(r, need) }) {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "it needs the package %s, which depot %s does not have", need, depot),
				"install that package first, or force the installation")
		}
	}
	return nil
}

func satisfies(r fleet.ProductOnDepot, need Need) bool {
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

// commit writes the rows of the package and takes away those of the version that
// it replaces.
func commit(c *methods.Call) (any, error) {
	in, err := intentOf(c)
	if err != nil {
		return nil, err
	}
	ch, err := changeOf(c, in)
	if err != nil {
		return nil, err
	}
	replaced := ""
	err = standing(c, in, func(tx *store.Tx, in Intent) (err error) {
		if replaced, err = ch.put(tx); err != nil {
			return err
		}
		if err := tx.Put(Trees, Trees.Encode(ch.Tree)); err != nil {
			return err
		}
		if err := follow(c, tx); err != nil {
			return err
		}
		return tx.Remove(Intents, Intents.Encode(in))
	})
	return replaced, err
}

func (ch *Change) put(tx *store.Tx) (replaced string, err error) {
	p := ch.Product
	if err := tx.Put(fleet.Products, fleet.Products.Encode(p)); err != nil {
		return "", err
	}
	version := fleet.Filter{"productId": string(p.ID), "productVersion": p.ProductVersion, "packageVersion": p.PackageVersion}
	if err := putExactly(tx, fleet.ProductProperties, version, ch.Properties); err != nil {
		return "", err
	}
	if err := putExactly(tx, fleet.ProductDependencies, version, ch.Dependencies); err != nil {
		return "", err
	}
	now := fleet.ProductOnDepot{ProductID: p.ID, ProductType: p.Type, ProductVersion: p.ProductVersion, PackageVersion: p.PackageVersion,
		DepotID: fleet.HostID(ch.Tree.DepotID)}
	before, err := onDepot(tx, ch.Tree.DepotID, string(p.ID))
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
	return replaced, ch.repairStates(tx)
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
func (ch *Change) repairStates(tx *store.Tx) error {
	product := string(ch.Product.ID)
	properties := map[string]fleet.ProductProperty{}
	for _, p := range ch.Properties {
		properties[p.PropertyID] = p
	}
	others, err := otherDepots(tx, ch.Tree.DepotID, product)
	if err != nil {
		return err
	}
	states, err := store.All[fleet.ProductPropertyState](tx, fleet.ProductPropertyStates, fleet.Filter{"productId": product})
	if err != nil {
		return err
	}
	for id, values := range ch.Values {
		if p, known := properties[id]; !known || len(allowed(p, values)) != len(values) {
			return fleet.Errorf(fleet.Invalid, "cannot set property %q of %s to %v: the package does not allow it", id, product, values)
		}
	}
	has := map[string]bool{}
	for _, s := range states {
		if others[string(s.ObjectID)] {
			continue
		}
		ours := string(s.ObjectID) == ch.Tree.DepotID
		prop, known := properties[s.PropertyID]
		kept := allowed(prop, s.Values)
		good := known && len(kept) == len(s.Values)
		if !good && !ours && len(others) > 0 {
			if depot, err := params.DepotOf(tx, string(s.ObjectID)); err != nil {
				return err
			} else if depot != ch.Tree.DepotID {
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
		if ours && !ch.PackageDefaults {
			has[s.PropertyID] = true
		}
	}
	for _, p := range ch.Properties {
		values, given := ch.Values[p.PropertyID]
		if has[p.PropertyID] && !given {
			continue
		}
		if !given {
			values = p.DefaultValues
		}
		s := fleet.ProductPropertyState{ProductID: p.ProductID, PropertyID: p.PropertyID, ObjectID: fleet.HostID(ch.Tree.DepotID), Values: values}
		if err := tx.Put(fleet.ProductPropertyStates, fleet.ProductPropertyStates.Encode(s)); err != nil {
			return err
		}
	}
	return nil
}

// otherDepots are the other depots that have the product.
func otherDepots(tx *store.Tx, depot, product string) (map[string]bool, error) {
	rows, err := tx.Select(fleet.ProductsOnDepots, fleet.Filter{"productId": product})
	others := map[string]bool{}
	for _, r := range rows {
		if id := r.Str("depotId"); id != depot {
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
