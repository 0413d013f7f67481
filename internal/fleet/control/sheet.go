package control

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// sheet is control data between its text and its meaning. The tags are the one
// table of sections and keys, in the order of printing; both spellings are read
// into it and printed from it. Values are what the spelling gives: TOML's types,
// or raw text.
type sheet struct {
	Package           *packageKeys
	Product           *productKeys
	Windows           *windowsKeys
	ProductDependency []dependencyKeys
	ProductProperty   []propertyKeys
	Changelog         string `toml:"-"`
}

// raw is a value of the legacy spelling: text that still has to be understood.
type raw string

type packageKeys struct {
	Version     any `toml:"version"`
	Depends     any `toml:"depends"`
	Incremental any `toml:"incremental"` // of opsi 3; read and dropped
}

type productKeys struct {
	Type               any `toml:"type"`
	ID                 any `toml:"id"`
	Name               any `toml:"name"`
	Description        any `toml:"description"`
	Advice             any `toml:"advice"`
	Version            any `toml:"version"`
	Priority           any `toml:"priority"`
	LicenseRequired    any `toml:"licenseRequired"`
	ProductClasses     any `toml:"productClasses"`
	SetupScript        any `toml:"setupScript"`
	UninstallScript    any `toml:"uninstallScript"`
	UpdateScript       any `toml:"updateScript"`
	AlwaysScript       any `toml:"alwaysScript"`
	OnceScript         any `toml:"onceScript"`
	CustomScript       any `toml:"customScript"`
	UserLoginScript    any `toml:"userLoginScript"`
	PXEConfigTemplate  any `toml:"pxeConfigTemplate"`
	WindowsSoftwareIDs any `toml:"windowsSoftwareIds"`
}

// windowsKeys is the legacy place of windowsSoftwareIds.
type windowsKeys struct {
	SoftwareIDs any `toml:"softwareIds"`
}

type dependencyKeys struct {
	Action                 any `toml:"action"`
	RequiredProduct        any `toml:"requiredProduct"`
	RequiredProductVersion any `toml:"requiredProductVersion"`
	RequiredPackageVersion any `toml:"requiredPackageVersion"`
	RequiredAction         any `toml:"requiredAction"`
	RequiredStatus         any `toml:"requiredStatus"`
	RequirementType        any `toml:"requirementType"`
}

type propertyKeys struct {
	Type        any `toml:"type"`
	Name        any `toml:"name"`
	MultiValue  any `toml:"multivalue"`
	Editable    any `toml:"editable"`
	Description any `toml:"description"`
	Values      any `toml:"values"`
	Default     any `toml:"default"`
}

// sectionNames lists the sections in order.
func sectionNames() []string {
	var names []string
	for f := range reflect.TypeFor[sheet]().Fields() {
		names = append(names, f.Name)
	}
	return names
}

// keysOf lists the keys of a section struct in order.
func keysOf(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		names = append(names, f.Tag.Get("toml"))
	}
	return names
}

// control gives the sheet its meaning.
func (s *sheet) control() (*Control, error) {
	if s.Package == nil || s.Product == nil {
		return nil, errors.New("a [Package] and a [Product] section are needed")
	}
	var v values
	k := s.Product
	v.section = "[Package]"
	c := &Control{Depends: v.depends(s.Package.Depends)}
	p := &c.Product
	p.PackageVersion = v.text("version", s.Package.Version)
	v.section = "[Product]"
	p.Type = v.kind("type", k.Type, map[string]string{"localboot": fleet.LocalbootProduct, "netboot": fleet.NetbootProduct})
	p.ID = fleet.ProductID(v.text("id", k.ID))
	p.ProductVersion = v.text("version", k.Version)
	p.Name = v.text("name", k.Name)
	p.Description = v.lines("description", k.Description)
	p.Advice = v.lines("advice", k.Advice)
	p.Changelog = tidy(s.Changelog)
	p.Priority = v.integer("priority", k.Priority)
	p.LicenseRequired = v.boolean("licenseRequired", k.LicenseRequired, false)
	p.ProductClassIDs = v.names("productClasses", k.ProductClasses)
	p.SetupScript = v.text("setupScript", k.SetupScript)
	p.UninstallScript = v.text("uninstallScript", k.UninstallScript)
	p.UpdateScript = v.text("updateScript", k.UpdateScript)
	p.AlwaysScript = v.text("alwaysScript", k.AlwaysScript)
	p.OnceScript = v.text("onceScript", k.OnceScript)
	p.CustomScript = v.text("customScript", k.CustomScript)
	p.UserLoginScript = v.text("userLoginScript", k.UserLoginScript)
	p.PXEConfigTemplate = v.text("pxeConfigTemplate", k.PXEConfigTemplate)
	v.only(p.Type, fleet.LocalbootProduct, "userLoginScript", p.UserLoginScript)
	v.only(p.Type, fleet.NetbootProduct, "pxeConfigTemplate", p.PXEConfigTemplate)
	p.WindowsSoftwareIDs = v.names("windowsSoftwareIds", k.WindowsSoftwareIDs)
	if s.Windows != nil {
		v.section = "[Windows]"
		p.WindowsSoftwareIDs = append(p.WindowsSoftwareIDs, v.names("softwareIds", s.Windows.SoftwareIDs)...)
	}
	for i, d := range s.ProductDependency {
		v.section = fmt.Sprintf("[ProductDependency] number %d", i+1)
		c.Dependencies = append(c.Dependencies, v.dependency(d))
	}
	for i, d := range s.ProductProperty {
		v.section = fmt.Sprintf("[ProductProperty] number %d", i+1)
		c.Properties = append(c.Properties, v.property(d))
	}
	if v.err != nil {
		return nil, v.err
	}
	return c, c.check()
}

func (v *values) dependency(k dependencyKeys) fleet.ProductDependency {
	status := v.word("requiredStatus", k.RequiredStatus)
	if status == "not installed" { // written by older tools
		status = fleet.NotInstalled
	}
	return fleet.ProductDependency{
		ProductAction:              fleet.Action(v.word("action", k.Action)),
		RequiredProductID:          fleet.ProductID(v.text("requiredProduct", k.RequiredProduct)),
		RequiredProductVersion:     v.text("requiredProductVersion", k.RequiredProductVersion),
		RequiredPackageVersion:     v.text("requiredPackageVersion", k.RequiredPackageVersion),
		RequiredAction:             fleet.Action(v.word("requiredAction", k.RequiredAction)),
		RequiredInstallationStatus: status,
		RequirementType:            v.word("requirementType", k.RequirementType),
	}
}

func (v *values) property(k propertyKeys) fleet.ProductProperty {
	p := fleet.ProductProperty{
		Type:        v.kind("type", k.Type, map[string]string{"": "UnicodeProductProperty", "unicode": "UnicodeProductProperty", "bool": boolProperty}),
		PropertyID:  strings.ToLower(v.text("name", k.Name)),
		Description: v.lines("description", k.Description),
		MultiValue:  v.boolean("multivalue", k.MultiValue, false),
	}
	if p.Type != boolProperty {
		p.Editable = v.boolean("editable", k.Editable, true)
		p.PossibleValues = v.list("values", k.Values)
		p.DefaultValues = v.oneOrList("default", k.Default, p.MultiValue)
		return p
	}
	// Both values, never both at once, nothing else: what the file may say
	// about it cannot change that.
	p.PossibleValues = []any{true, false}
	if p.MultiValue {
		v.fail("multivalue", errors.New("a bool has one value"))
	}
	for _, d := range v.list("default", k.Default) {
		if d != "" {
			p.DefaultValues = append(p.DefaultValues, v.boolean("default", raw(d.(string)), false))
		}
	}
	return p
}

// sectionField finds a section by name, whatever its case.
func sectionField(name string) (reflect.StructField, bool) {
	return reflect.TypeFor[sheet]().FieldByNameFunc(func(n string) bool { return n != "Changelog" && strings.EqualFold(n, name) })
}

// sectionType is the struct behind a section's pointer or list.
func sectionType(f reflect.StructField) reflect.Type { return f.Type.Elem() }

// sections walks the sections that are there, in order, as structs.
func (s *sheet) sections() iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		for f, v := range reflect.ValueOf(s).Elem().Fields() {
			switch v.Kind() {
			case reflect.Pointer:
				if !v.IsNil() && !yield(f.Name, v.Elem()) {
					return
				}
			case reflect.Slice:
				for i := range v.Len() {
					if !yield(f.Name, v.Index(i)) {
						return
					}
				}
			}
		}
	}
}

// keyValues walks the keys of a section that have a value.
func keyValues(section reflect.Value) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for f, v := range section.Fields() {
			if !v.IsNil() && !yield(f.Tag.Get("toml"), v.Interface()) {
				return
			}
		}
	}
}

// newSheet is the sheet to print. The legacy spelling has short type names and
// the Windows ids in a section of their own; it shows every script, empty or not.
func newSheet(c *Control, legacy bool) *sheet {
	p := c.Product
	optional := func(s string) any {
		if s == "" && !legacy {
			return nil
		}
		return s
	}
	short := func(long string) string {
		if legacy {
			long = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(long, "Product"), "ProductProperty"))
		}
		return long
	}
	s := &sheet{
		Package: &packageKeys{Version: p.PackageVersion, Depends: c.Depends},
		Product: &productKeys{
			Type: short(p.Type), ID: string(p.ID), Name: p.Name,
			Description: optional(p.Description), Advice: optional(p.Advice),
			Version: p.ProductVersion, Priority: p.Priority, LicenseRequired: p.LicenseRequired, ProductClasses: p.ProductClassIDs,
			SetupScript: optional(p.SetupScript), UninstallScript: optional(p.UninstallScript), UpdateScript: optional(p.UpdateScript),
			AlwaysScript: optional(p.AlwaysScript), OnceScript: optional(p.OnceScript), CustomScript: optional(p.CustomScript),
		},
		Changelog: p.Changelog,
	}
	if p.Type == fleet.NetbootProduct {
		s.Product.PXEConfigTemplate = optional(p.PXEConfigTemplate)
	} else {
		s.Product.UserLoginScript = optional(p.UserLoginScript)
	}
	if !legacy {
		s.Product.WindowsSoftwareIDs = p.WindowsSoftwareIDs
	} else if len(p.WindowsSoftwareIDs) > 0 {
		s.Windows = &windowsKeys{p.WindowsSoftwareIDs}
	}
	given := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	for _, d := range c.Dependencies {
		s.ProductDependency = append(s.ProductDependency, dependencyKeys{
			Action: string(d.ProductAction), RequiredProduct: string(d.RequiredProductID),
			RequiredProductVersion: given(d.RequiredProductVersion), RequiredPackageVersion: given(d.RequiredPackageVersion),
			RequiredAction: given(string(d.RequiredAction)), RequiredStatus: given(d.RequiredInstallationStatus),
			RequirementType: given(d.RequirementType),
		})
	}
	for _, p := range c.Properties {
		k := propertyKeys{Type: short(p.Type), Name: p.PropertyID, Description: p.Description, Default: p.DefaultValues}
		if p.Type != boolProperty {
			k.MultiValue, k.Editable, k.Values = p.MultiValue, p.Editable, p.PossibleValues
		}
		s.ProductProperty = append(s.ProductProperty, k)
	}
	return s
}
