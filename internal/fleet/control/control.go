// Package control is a product's control data, as a package carries it in its
// OPSI folder: what the product is called, which scripts do what, what it
// depends on and what it may be asked.
//
// Two spellings say the same: the old "control" of sections and indented lines,
// and "control.toml". Both are read strictly, unknown keys are refused with the
// nearest right one, and both can be printed. What comes out are the fleet's
// own structs, checked.
package control

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Control is what a package says about its product. Ids and versions of
// properties and dependencies are those of the product.
type Control struct {
	Depends      []Depend // packages that must be on the depot
	Product      fleet.Product
	Properties   []fleet.ProductProperty
	Dependencies []fleet.ProductDependency
}

// Depend is a package that must be on the depot before this one.
type Depend struct {
	Package   fleet.ProductID
	Condition string // "", "<", "<=", "=", ">=", ">"
	Version   string // product version, or with "-" and the package version; "" with no condition
}

func (d Depend) String() string {
	if d.Condition == "" {
		return string(d.Package)
	}
	return fmt.Sprintf("%s (%s %s)", d.Package, d.Condition, d.Version)
}

// Version is "<productVersion>-<packageVersion>".
func (c *Control) Version() string { return c.Product.ProductVersion + "-" + c.Product.PackageVersion }

// WithVersion is the same control data of another version.
func (c *Control) WithVersion(product, pack string) (*Control, error) {
	n := *c
	n.Product.ProductVersion, n.Product.PackageVersion = product, pack
	n.Properties, n.Dependencies = slices.Clone(c.Properties), slices.Clone(c.Dependencies)
	return &n, n.check()
}

// Read picks the control data among the files of the OPSI layer:
// control.toml if there is one, else control. The older file may lag behind;
// if it states a higher version, somebody has raised the wrong one, which is
// refused. The TOML form has no changelog, it stands in changelog.txt.
func Read(files map[string][]byte) (*Control, error) {
	legacy, isLegacy := files["control"]
	toml, isTOML := files["control.toml"]
	switch {
	case isTOML:
		c, err := ParseTOML(toml)
		if err != nil {
			return nil, fmt.Errorf("cannot read OPSI/control.toml: %w", err)
		}
		if isLegacy {
			old, err := ParseLegacy(legacy)
			if err != nil {
				return nil, fmt.Errorf("cannot read OPSI/control beside control.toml: %w", err)
			}
			if fleet.CompareVersions(old.Version(), c.Version()) > 0 {
				return nil, fleet.WithHint(
					fmt.Errorf("cannot use OPSI/control.toml: it states version %s, the older OPSI/control %s", c.Version(), old.Version()),
					"raise the version in control.toml, or delete OPSI/control")
			}
		}
		for _, name := range []string{"changelog.txt", "changelog"} {
			if text, ok := files[name]; ok {
				c.Product.Changelog = tidy(string(text))
				break
			}
		}
		return c, c.check()
	case isLegacy:
		c, err := ParseLegacy(legacy)
		if err != nil {
			return nil, fmt.Errorf("cannot read OPSI/control: %w", err)
		}
		return c, nil
	}
	return nil, errors.New("cannot find OPSI/control.toml or OPSI/control in the package")
}

var dependVersion = regexp.MustCompile(`^[A-Za-z0-9.]{1,32}(-[A-Za-z0-9.]{1,16})?$`)

// check makes the values canonical and refuses what the fleet would not hold.
func (c *Control) check() error {
	p := &c.Product
	if err := fleet.ValidProductID(string(p.ID)); err != nil {
		return fmt.Errorf("[Product] id: %w", err)
	}
	if err := manifest.PortableName(string(p.ID)); err != nil { // clients keep it in a folder of this name
		return fmt.Errorf("[Product] id: %w", err)
	}
	if p.Priority < -100 || p.Priority > 100 {
		return fmt.Errorf("[Product] priority: %d is not between -100 and 100", p.Priority)
	}
	if err := canonical(fleet.Products, p); err != nil {
		return fmt.Errorf("[Product]: %w", err)
	}
	for _, d := range c.Depends {
		if err := d.check(); err != nil {
			return fmt.Errorf("[Package] depends: %w", err)
		}
	}
	properties := map[string]bool{}
	for i := range c.Properties {
		prop := &c.Properties[i]
		prop.ProductID, prop.ProductVersion, prop.PackageVersion = p.ID, p.ProductVersion, p.PackageVersion
		err := canonical(fleet.ProductProperties, prop)
		if err == nil && properties[prop.PropertyID] {
			err = errors.New("there are two of this name")
		}
		if err == nil {
			err = checkValues(prop)
		}
		if err != nil {
			return fmt.Errorf("[ProductProperty] %s: %w", prop.PropertyID, err)
		}
		properties[prop.PropertyID] = true
	}
	type need struct {
		action   fleet.Action
		required fleet.ProductID
	}
	needs := map[need]bool{}
	for i := range c.Dependencies {
		dep := &c.Dependencies[i]
		dep.ProductID, dep.ProductVersion, dep.PackageVersion = p.ID, p.ProductVersion, p.PackageVersion
		err := canonical(fleet.ProductDependencies, dep)
		n := need{dep.ProductAction, dep.RequiredProductID}
		switch {
		case err != nil:
		case needs[n]:
			err = errors.New("there are two for the same action and product")
		case dep.RequiredAction == "" && dep.RequiredInstallationStatus == "":
			err = errors.New("neither requiredAction nor requiredStatus is given")
		}
		if err != nil {
			return fmt.Errorf("[ProductDependency] %s of %s: %w", dep.ProductAction, dep.RequiredProductID, err)
		}
		needs[n] = true
	}
	return nil
}

func (d Depend) check() error {
	if err := fleet.ValidProductID(string(d.Package)); err != nil {
		return err
	}
	if (d.Condition == "") != (d.Version == "") {
		return fmt.Errorf("%s: a condition and a version go together", d.Package)
	}
	if d.Condition == "" {
		return nil
	}
	if !slices.Contains([]string{"<", "<=", "=", ">=", ">"}, d.Condition) {
		return fmt.Errorf("%s: unknown condition %q, want <, <=, =, >= or >", d.Package, d.Condition)
	}
	if !dependVersion.MatchString(d.Version) {
		return fmt.Errorf("%s: %q is not a version", d.Package, d.Version)
	}
	return nil
}

const boolProperty = "BoolProductProperty"

// checkValues applies the rules that a class cannot know.
func checkValues(p *fleet.ProductProperty) error {
	if len(p.DefaultValues) > 1 && !p.MultiValue {
		return errors.New("more than one default, but multivalue is false")
	}
	if p.Type == boolProperty || p.Editable || len(p.PossibleValues) == 0 {
		return nil
	}
	for _, v := range p.DefaultValues {
		if !slices.Contains(p.PossibleValues, v) {
			return fmt.Errorf("the default %q is not among its values, and it is not editable", v)
		}
	}
	return nil
}

// canonical runs the class's own check over a struct.
func canonical[T any](class *fleet.Class, v *T) error {
	row, err := class.Check(class.Encode(*v), fleet.Creating)
	if err != nil {
		return err
	}
	class.Decode(row, v)
	return nil
}

// tidy gives a text of several lines the form that both spellings carry:
// LF, no blanks at line ends, no empty lines around it.
func tidy(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t\r")
	}
	return strings.TrimLeft(strings.Trim(strings.Join(lines, "\n"), "\n"), " \t")
}
