package methods

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/nodetype"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// decided are columns that a type decides; its create method does not take them.
var decided = map[string]fleet.Row{
	fleet.BoolConfig:      {"possibleValues": []any{true, false}, "editable": false, "multiValue": false},
	"BoolProductProperty": {"possibleValues": []any{true, false}, "editable": false, "multiValue": false},
}

// usual are defaults that differ from type to type.
var usual = map[string]fleet.Row{
	fleet.BoolConfig:            {"defaultValues": []any{false}},
	"BoolProductProperty":       {"defaultValues": []any{false}},
	"ConcurrentSoftwareLicense": {"maxInstallations": int64(0)},
}

// Typed is a row with what its type decides of it.
func Typed(r fleet.Row) fleet.Row {
	r = r.Clone()
	for name, v := range usual[r.Str("type")] {
		if r[name] == nil {
			r[name] = v
		}
	}
	for name, v := range decided[r.Str("type")] {
		r[name] = v
	}
	return r
}

// complete makes a whole row what opsi's classes would: with what its type
// decides, and with values that fit together. Of the row that is replaced only
// the type counts.
func complete(tx *store.Tx, class *fleet.Class, before, r fleet.Row) (fleet.Row, error) {
	if r["type"] == nil && before != nil {
		r = r.Clone()
		r["type"] = before["type"]
	}
	r = Typed(r)
	switch class {
	case fleet.Configs, fleet.ProductProperties:
		return r, fitValues(class, r)
	case fleet.NodeTypes:
		return r, nodetype.Fit(tx, r)
	case fleet.SoftwareLicenses:
		if n, err := fleet.Number(r["maxInstallations"]); err == nil && n > 1 && r["type"] == "OEMSoftwareLicense" {
			return nil, fleet.Errorf(fleet.Invalid, "cannot use OEM licence %q for %d installations: it belongs to one machine", r.Str("id"), n)
		}
	case fleet.ConfigStates:
		config, err := tx.ByKey(fleet.Configs, r.Str("configId"))
		if err != nil || config["type"] != fleet.BoolConfig {
			return r, err
		}
		return r, truths(class, r, "values")
	case fleet.ProductPropertyStates:
		properties, err := tx.Select(fleet.ProductProperties, fleet.Filter{"productId": r["productId"], "propertyId": r["propertyId"]})
		if err != nil || len(properties) == 0 || slices.ContainsFunc(properties, func(p fleet.Row) bool { return p["type"] != "BoolProductProperty" }) {
			return r, err
		}
		return r, truths(class, r, "values")
	}
	return r, nil
}

// patched adds to a change what follows from it for other columns.
func patched(tx *store.Tx, class *fleet.Class, r fleet.Row) (fleet.Row, error) {
	switch class {
	case fleet.ConfigStates, fleet.ProductPropertyStates:
		return complete(tx, class, nil, r)
	case fleet.Configs, fleet.ProductProperties, fleet.SoftwareLicenses, fleet.NodeTypes:
	default:
		return r, nil
	}
	ident, err := class.Check(identity(class, r), fleet.Updating)
	if err != nil {
		return r, nil // the write says what is wrong
	}
	before, err := tx.ByKey(class, class.Key(ident))
	if err != nil || before == nil {
		return r, err
	}
	whole := before.Clone()
	for name, v := range r {
		whole[name] = v
	}
	whole, err = complete(tx, class, before, whole)
	if err != nil {
		return nil, err
	}
	r = r.Clone()
	for _, name := range []string{"possibleValues", "defaultValues", "multiValue"} {
		if v, has := whole[name]; has && (r[name] != nil || class != fleet.SoftwareLicenses) {
			r[name] = v
		}
	}
	return r, nil
}

// fitValues makes the values of a parameter or property fit together: a default
// is a possible value, and several defaults are possible only where several
// values are. What cannot be edited takes no value that is not listed.
func fitValues(class *fleet.Class, r fleet.Row) error {
	if r["type"] == fleet.BoolConfig || r["type"] == "BoolProductProperty" {
		return truths(class, r, "defaultValues")
	}
	possible, usual := fleet.Elements(r["possibleValues"]), fleet.Elements(r["defaultValues"])
	if len(possible) > 0 {
		for _, v := range usual {
			if slices.Contains(possible, v) {
				continue
			}
			if editable, err := fleet.Truth(r["editable"]); err == nil && !editable {
				return fleet.Errorf(fleet.Invalid, "cannot use %s %q: the default %v is none of the possible values", class.Name, class.IdentString(r), v)
			}
			possible = append(slices.Clone(possible), v)
		}
		r["possibleValues"] = possible
	} else if len(usual) > 0 {
		r["possibleValues"] = usual
	}
	if len(usual) > 1 {
		r["multiValue"] = true
	}
	return nil
}

// truths makes the values of a column true or false, one of them.
func truths(class *fleet.Class, r fleet.Row, column string) error {
	if r[column] == nil {
		return nil
	}
	values := fleet.Elements(r[column])
	out := make([]any, len(values))
	for i, v := range values {
		truth, err := fleet.Truth(v)
		if err != nil {
			return fleet.Errorf(fleet.Invalid, "cannot use %s %q: %w", class.Name, class.IdentString(r), err)
		}
		out[i] = truth
	}
	if len(out) > 1 {
		return fleet.Errorf(fleet.Invalid, "cannot use %s %q: %d values, and it takes one", class.Name, class.IdentString(r), len(out))
	}
	r[column] = out
	return nil
}
