package methods

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// creators are the names of the create methods of classes that have types:
// opsi's own, which leave out the class's name.
var creators = map[string]string{
	fleet.BoolConfig: "createBool", fleet.UnicodeConfig: "createUnicode",
	fleet.LocalbootProduct: "createLocalboot", fleet.NetbootProduct: "createNetboot",
	"UnicodeProductProperty": "createUnicode", "BoolProductProperty": "createBool",
	"RetailSoftwareLicense": "createRetail", "OEMSoftwareLicense": "createOEM",
	"VolumeSoftwareLicense": "createVolume", "ConcurrentSoftwareLicense": "createConcurrent",
	"LicenseContract": "create", "LicensePool": "create",
}

// firstParams is the order in which opsi's create methods take their
// parameters, where it is not that of the columns; the others follow.
var firstParams = map[string]string{
	"productOnClient":      "productId productType clientId installationStatus actionRequest lastAction actionProgress actionResult productVersion packageVersion modificationTime",
	fleet.LocalbootProduct: "id productVersion packageVersion name licenseRequired setupScript uninstallScript updateScript alwaysScript onceScript priority description advice changelog productClassIds windowsSoftwareIds",
	fleet.NetbootProduct:   "id productVersion packageVersion name licenseRequired setupScript uninstallScript updateScript alwaysScript onceScript priority description advice changelog productClassIds windowsSoftwareIds pxeConfigTemplate",
}

// deleteParams is the same for the delete methods.
var deleteParams = map[string]string{
	"productOnClient": "productId clientId productType",
	"productOnDepot":  "productId depotId productType productVersion packageVersion",
	"group":           "id type",
}

// inOrder sorts parameters by a list of names; those not in it stay behind.
func inOrder(ps []Param, names string) []Param {
	order := strings.Fields(names)
	place := func(p Param) int {
		if i := slices.Index(order, p.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(ps, func(a, b Param) int { return place(a) - place(b) })
	return ps
}

// classMethods generates a class's methods.
func classMethods(class *fleet.Class) []*Method {
	row := func(name string, op operation, doc string, call func(*Call) (any, error), params ...Param) *Method {
		roles := readers(class)
		if op != reads {
			roles = writers(class, op)
		}
		return &Method{Name: class.Name + "_" + name, Params: params, Roles: roles, Doc: doc, Class: class, Writes: op != reads, Do: call}
	}
	attributes, filter := Param{Name: "attributes", Optional: true}, Param{Name: "filter", Rest: true}
	ms := []*Method{
		row("getObjects", reads, "The objects that match the filter, with the attributes asked for, or all.", getObjects, attributes, filter),
		row("getHashes", reads, "The same as getObjects.", getObjects, attributes, filter),
		row("getIdents", reads, "The identities of the objects that match: as str, dict, list or tuple.", getIdents, Param{Name: "returnType", Optional: true, Default: "str"}, filter),
		row("insertObject", replaces, "Creates the object, or replaces it whole.", writeObjects(replace), Param{Name: class.Name}),
		row("createObjects", replaces, "Creates the objects, or replaces them whole.", writeObjects(replace), Param{Name: plural(class)}),
		row("updateObject", changes, "Changes the attributes given of an object that exists.", writeObjects(patch), Param{Name: class.Name}),
		row("updateObjects", changes, "Changes the attributes given; creates what is missing.", writeObjects(merge), Param{Name: plural(class)}),
		row("deleteObjects", deletes, "Deletes the objects, with all that belongs to them.", deleteObjects, Param{Name: plural(class)}),
	}
	ms[1].Deprecated, ms[1].Instead = true, ms[0].Name
	var idents []Param
	for _, col := range class.Ident() {
		idents = append(idents, Param{Name: col.Name})
	}
	for i := range inOrder(idents, deleteParams[class.Name]) {
		idents[i].Optional = i > 0
	}
	if class.Open {
		for _, col := range class.Columns {
			if !col.Ident {
				idents = append(idents, Param{Name: col.Name, Optional: true})
			}
		}
		idents = append(idents, Param{Name: "fields", Rest: true})
	}
	ms = append(ms, row("delete", deletes, "Deletes by identity; * stands for any text, a list for several.", deleteByIdent, idents...))
	types := class.Types
	if len(types) == 0 {
		types = []string{""}
	}
	for _, typ := range types {
		ms = append(ms, row(creator(typ), replaces, "Creates the object from its attributes.", createFrom(typ), createParams(class, typ)...))
	}
	if class == fleet.Configs || class == fleet.ProductProperties {
		ms = append(ms, row("create", replaces, "Creates the object from its attributes; its values are text unless a type says otherwise.", createFrom(""),
			untypedParams(class)...))
	}
	return ms
}

// untypedParams are those of a create method that is told the type, as opsi
// has one of product properties.
func untypedParams(class *fleet.Class) []Param {
	ps := createParams(class, class.Types[0])
	at := 0
	for range class.Ident() {
		at++
	}
	if class == fleet.Configs { // it takes the type by name only
		at = len(ps)
	}
	return slices.Insert(ps, at, Param{Name: "type", Optional: true})
}

func creator(typ string) string {
	if name := creators[typ]; name != "" {
		return name
	}
	if typ == "" {
		return "create"
	}
	return "create" + typ
}

func plural(class *fleet.Class) string {
	if stem, ok := strings.CutSuffix(class.Name, "y"); ok {
		return stem + "ies"
	}
	return class.Name + "s"
}

// createParams are the columns of the type, identity first, as opsi's
// constructors take them.
func createParams(class *fleet.Class, typ string) []Param {
	var ps []Param
	for _, ident := range []bool{true, false} {
		for _, col := range class.Columns {
			if _, fixed := decided[typ][col.Name]; col.Ident != ident || fixed || !col.Has(typ) || col.Name == "type" {
				continue
			}
			ps = append(ps, Param{Name: col.Name, Optional: !ident || col.Default != nil})
		}
	}
	names := firstParams[typ]
	if typ == "" {
		names = firstParams[class.Name]
	}
	inOrder(ps, names)
	// An optional identity column may not stand before a needed one: positions
	// would shift.
	for i := len(ps) - 2; i >= 0; i-- {
		ps[i].Optional = ps[i].Optional && ps[i+1].Optional
	}
	if class.Open {
		ps = append(ps, Param{Name: "fields", Rest: true})
	}
	return ps
}

func getObjects(c *Call) (any, error) {
	class := c.Method.Class
	attributes, err := c.Texts("attributes")
	if err != nil {
		return nil, err
	}
	for _, a := range attributes {
		if class.Column(a) == nil && !class.Open && a != "type" && a != "ident" {
			return nil, fleet.Errorf(fleet.Invalid, "cannot read %s: no attribute %q", class.Name, a)
		}
	}
	return matching(c, func(r fleet.Row) fleet.Row { return Project(class, r, attributes) }), nil
}

// matching lists what becomes of each object that matches the call's filter.
func matching[T any](c *Call, of func(fleet.Row) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		look := c.s.store.View
		if c.asksForItself(c.Method.Class, fleet.Filter(c.Rest)) { // nothing else has to be asked
			look = c.s.store.Look
		}
		err := look(c.Context, func(tx *store.Tx) error {
			for r, err := range c.eachVisible(tx, c.Method.Class, fleet.Filter(c.Rest)) {
				if err != nil {
					return err
				}
				if !yield(of(r), nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && err != errStopped {
			yield(none, err)
		}
	}
}

// errStopped says that the reader of a list wants no more.
var errStopped = errors.New("stopped")

// Project adds type and ident, as clients expect, and keeps the attributes
// asked for beside the identity.
func Project(class *fleet.Class, r fleet.Row, attributes []string) fleet.Row {
	out := fleet.Row{"ident": class.IdentString(r), "type": class.Type(r)}
	if len(class.Types) == 0 {
		out["type"] = strings.ToUpper(class.Name[:1]) + class.Name[1:]
	}
	for name, v := range r {
		col := class.Column(name)
		if len(attributes) == 0 || col != nil && col.Ident || slices.Contains(attributes, name) {
			out[name] = v
		}
	}
	return out
}

func getIdents(c *Call) (any, error) {
	class := c.Method.Class
	form, err := c.Text("returnType")
	if err != nil {
		return nil, err
	}
	var of func(fleet.Row) any
	switch form {
	case "", "str", "unicode":
		of = func(r fleet.Row) any { return class.IdentString(r) }
	case "list", "tuple":
		of = func(r fleet.Row) any { return class.IdentValues(r) }
	case "dict", "hash":
		of = func(r fleet.Row) any { return map[string]any(identity(class, r)) }
	default:
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: returnType is one of str, dict, list, tuple, not %q", c.Method.Name, form)
	}
	return matching(c, of), nil
}

// writeObjects runs one way of writing over all objects given, in one transaction.
func writeObjects(write func(*Call, *store.Tx, *fleet.Class, fleet.Row) error) func(*Call) (any, error) {
	return func(c *Call) (any, error) {
		rows, err := c.Rows(c.Method.Params[0].Name)
		if err != nil {
			return nil, err
		}
		return nil, c.Update(func(tx *store.Tx) error {
			for _, r := range rows {
				r = Clean(c.Method.Class, r)
				if err := c.mayWriteRow(tx, c.Method.Class, r); err != nil {
					return err
				}
				if err := write(c, tx, c.Method.Class, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// Clean takes out what the wire adds to an object.
func Clean(class *fleet.Class, r fleet.Row) fleet.Row {
	r = r.Clone()
	delete(r, "ident")
	if len(class.Types) == 0 {
		delete(r, "type")
	}
	return r
}

func replace(c *Call, tx *store.Tx, class *fleet.Class, r fleet.Row) error {
	r, err := complete(tx, class, nil, r)
	if err != nil {
		return err
	}
	if class == fleet.Hosts && r["opsiHostKey"] == nil {
		key, err := hostKeyOf(tx, r)
		if err != nil {
			return err
		}
		r["opsiHostKey"] = key
	}
	for _, g := range c.s.groups {
		if g.Guard == nil {
			continue
		}
		if err := g.Guard(c, tx, class, r); err != nil {
			return err
		}
	}
	return tx.Put(class, r)
}

// hostKeyOf keeps the key that a host has, and makes one for a new host: there
// is no host without a key.
func hostKeyOf(tx *store.Tx, r fleet.Row) (string, error) {
	old, err := tx.Get(fleet.Hosts, fleet.Row{"id": r["id"], "type": fleet.Hosts.Type(r)})
	if err == nil && old.Str("opsiHostKey") != "" {
		return old.Str("opsiHostKey"), nil
	}
	if err != nil && fleet.CodeOf(err) != fleet.NotFound {
		return "", err
	}
	return NewHostKey(), nil
}

// patch leaves alone what is not given; opsi clients send null for that.
func patch(c *Call, tx *store.Tx, class *fleet.Class, r fleet.Row) error {
	for name, v := range r {
		if v == nil {
			delete(r, name)
		}
	}
	r, err := patched(tx, class, r)
	if err != nil {
		return err
	}
	return tx.Patch(class, r)
}

func merge(c *Call, tx *store.Tx, class *fleet.Class, r fleet.Row) error {
	err := patch(c, tx, class, r)
	if fleet.CodeOf(err) == fleet.NotFound {
		return replace(c, tx, class, r)
	}
	return err
}

// MergeRow writes a row as updateObjects does: with the caller's rights,
// leaving alone what is not given, creating what is missing.
func (c *Call) MergeRow(tx *store.Tx, class *fleet.Class, r fleet.Row) error {
	if err := c.mayWriteRow(tx, class, r); err != nil {
		return err
	}
	return merge(c, tx, class, r)
}

func deleteObjects(c *Call) (any, error) {
	rows, err := c.Rows(c.Method.Params[0].Name)
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error {
		for _, r := range rows {
			r, err := c.Method.Class.Check(Clean(c.Method.Class, r), fleet.Updating)
			if err != nil {
				return err
			}
			if err := c.mayWriteRow(tx, c.Method.Class, r); err != nil {
				return err
			}
			if err := tx.Remove(c.Method.Class, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func deleteByIdent(c *Call) (any, error) {
	f := fleet.Filter{}
	for _, from := range []map[string]any{c.Args, c.Rest} {
		for name, v := range from {
			if list, isList := v.([]any); v != nil && !(isList && len(list) == 0) { // both mean any
				f[name] = v
			}
		}
	}
	if len(f) == 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: it wants at least one part of the identity", c.Method.Name)
	}
	// The rows of others are not even looked for: their number and names are no
	// business of a host, and its own name costs it nothing.
	if of := hostOf(c.Method.Class); c.Actor.Role == Host && f[of] != c.Actor.ID {
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s: host %s may only delete what is its own: %s must name it", c.Method.Name, c.Actor.ID, of)
	}
	return nil, c.Update(func(tx *store.Tx) error {
		if of := hostOf(c.Method.Class); of != "" { // nor of somebody bound to groups
			if err := c.AboutIn(tx, hostsIn(f[of])...); err != nil {
				return err
			}
		}
		rows, err := tx.Select(c.Method.Class, f)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := c.mayWriteRow(tx, c.Method.Class, identity(c.Method.Class, r)); err != nil {
				return err
			}
			if err := tx.Remove(c.Method.Class, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// hostsIn are the hosts that a part of a filter names; what names no host by its
// whole name stays what it is, and is none.
func hostsIn(v any) (ids []string) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	for _, e := range list {
		id, _ := e.(string)
		ids = append(ids, strings.ToLower(cmp.Or(id, "*")))
	}
	return ids
}

func identity(class *fleet.Class, r fleet.Row) fleet.Row {
	id := fleet.Row{}
	for _, col := range class.Ident() {
		id[col.Name] = r[col.Name]
	}
	return id
}

func createFrom(typ string) func(*Call) (any, error) {
	return func(c *Call) (any, error) {
		r := fleet.Row{}
		if typ != "" {
			r["type"] = typ
		}
		for _, from := range []map[string]any{c.Args, c.Rest} {
			for name, v := range from {
				if v != nil {
					r[name] = v
				}
			}
		}
		return nil, c.Update(func(tx *store.Tx) error {
			if err := c.mayWriteRow(tx, c.Method.Class, r); err != nil {
				return err
			}
			return replace(c, tx, c.Method.Class, r)
		})
	}
}
