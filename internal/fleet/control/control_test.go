package control_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
)

// read returns a file of testdata.
func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// browser is what testdata/control and testdata/control.toml both say.
func browser() *control.Control {
	id := fleet.ProductID("fern-browser")
	return &control.Control{
		Depends: []control.Depend{{Package: "base"}, {Package: "opsi-script", Condition: ">=", Version: "4.12.8.6-1"}},
		Product: fleet.Product{
			Type: fleet.LocalbootProduct, ID: id, ProductVersion: "128.3.1esr", PackageVersion: "2",
			Name:            "Fern Browser",
			Description:     "A browser: fast, \"small\".\n\n  * indented\nSecond part; größer",
			Advice:          "Close it first.",
			Changelog:       "fern-browser (128.3.1esr-2) stable; urgency=low\n\n  * new: [a] certificate\n\n -- A. Packager <a@example.org>  Tue, 01 Oct 2024 10:00:00 +0200",
			LicenseRequired: true, Priority: -5,
			SetupScript: "setup.opsiscript", UninstallScript: "uninstall.opsiscript", UserLoginScript: "login.opsiscript",
			ProductClassIDs: []string{"browser", "web"}, WindowsSoftwareIDs: []string{"{0AF1-22}", "Fern Browser 128"},
		},
		Properties: []fleet.ProductProperty{
			{
				Type: "UnicodeProductProperty", ProductID: id, ProductVersion: "128.3.1esr", PackageVersion: "2", PropertyID: "start_page",
				Description: "Which page opens first?", PossibleValues: []any{"", "https://example.org/?a=1&b=<2>", `C:\start "x"`}, DefaultValues: []any{""}, Editable: true,
			},
			{
				Type: "UnicodeProductProperty", ProductID: id, ProductVersion: "128.3.1esr", PackageVersion: "2", PropertyID: "languages",
				PossibleValues: []any{"de", "en"}, DefaultValues: []any{"de", "en"}, MultiValue: true,
			},
			{
				Type: "BoolProductProperty", ProductID: id, ProductVersion: "128.3.1esr", PackageVersion: "2", PropertyID: "desktop-link",
				Description: "Link on the desktop?", PossibleValues: []any{true, false}, DefaultValues: []any{false},
			},
		},
		Dependencies: []fleet.ProductDependency{
			{ProductID: id, ProductVersion: "128.3.1esr", PackageVersion: "2", ProductAction: fleet.Setup, RequiredProductID: "javavm", RequiredInstallationStatus: fleet.Installed, RequirementType: "before"},
			{ProductID: id, ProductVersion: "128.3.1esr", PackageVersion: "2", ProductAction: fleet.Uninstall, RequiredProductID: "old-browser", RequiredProductVersion: "3.0", RequiredPackageVersion: "1", RequiredAction: fleet.Uninstall},
		},
	}
}

func TestControl_BothSpellings(t *testing.T) {
	legacy, err := control.ParseLegacy(read(t, "control"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(browser(), legacy, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("control (-want +got):\n%s", diff)
	}
	toml, err := control.Read(map[string][]byte{
		"control.toml": read(t, "control.toml"), "control": read(t, "control"), "changelog.txt": []byte(browser().Product.Changelog + "\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(browser(), toml, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("control.toml (-want +got):\n%s", diff)
	}
	// The files are in the printer's own form.
	text, err := legacy.Legacy()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(read(t, "control")), string(text)); diff != "" {
		t.Errorf("printed control (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(string(read(t, "control.toml")), string(toml.TOML())); diff != "" {
		t.Errorf("printed control.toml (-want +got):\n%s", diff)
	}
}

// A control file as other tools leave it: CRLF, byte order mark, comments,
// other case, short lists, an old key, nothing at the end.
func TestParseLegacy_Loose(t *testing.T) {
	text := "\ufeff; made by a tool\r\n[package]\r\nversion: 1\r\ndepends: \r\nincremental: False\r\n\r\n[Product]\r\nType: LocalbootProduct\r\nid: tool\r\nname: Tool\r\n" +
		"description:\r\n\tone\r\n\r\n\ttwo\r\nversion: 1.0\r\npriority:\r\nlicenserequired: no\r\nproductClasses: a,\r\n b\r\n# the end\r\n" +
		"[ProductProperty]\r\nname: Mixed_Case\r\nvalues: one, two, 3\r\ndefault: 3\r\n[ProductProperty]\r\ntype: bool\r\nname: b\r\ndefault: True\r\n" +
		"[ProductDependency]\r\naction: setup\r\nrequiredProduct: x\r\nrequiredStatus: not installed"
	c, err := control.ParseLegacy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Product.Description != "one\n\ntwo" || !cmp.Equal(c.Product.ProductClassIDs, []string{"a", "b"}) {
		t.Errorf("product %+v", c.Product)
	}
	p := c.Properties[0]
	if p.PropertyID != "mixed_case" || !cmp.Equal(p.PossibleValues, []any{"one", "two", "3"}) || !cmp.Equal(p.DefaultValues, []any{"3"}) || !p.Editable {
		t.Errorf("property %+v", p)
	}
	if !cmp.Equal(c.Properties[1].DefaultValues, []any{true}) {
		t.Errorf("property %+v", c.Properties[1])
	}
	if c.Dependencies[0].RequiredInstallationStatus != fleet.NotInstalled {
		t.Errorf("dependency %+v", c.Dependencies[0])
	}
}

// Files of the last twenty years, each in its editor's encoding.
func TestParseLegacy_Encodings(t *testing.T) {
	text := legacyStart + "name: Größe – 5 €\n"
	plain := strings.NewReplacer("ö", "\xf6", "ß", "\xdf", "–", "\x96", "€", "\x80").Replace(text)
	for name, data := range map[string]string{
		"UTF-8": text, "UTF-8 with mark": "\ufeff" + text, "Windows": strings.ReplaceAll(plain, "\n", "\r\n"),
		"UTF-16": utf16Text(text, binary.LittleEndian), "UTF-16, big": utf16Text(text, binary.BigEndian),
	} {
		c, err := control.ParseLegacy([]byte(data))
		if err != nil || c.Product.Name != "Größe – 5 €" {
			t.Errorf("%s: %v, %+v", name, err, c)
		}
	}
	if _, err := control.ParseTOML([]byte("\ufeff" + strings.ReplaceAll(tomlStart, "\n", "\r\n"))); err != nil {
		t.Errorf("TOML of a Windows editor: %v", err)
	}
}

func utf16Text(s string, order binary.AppendByteOrder) string {
	data := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(s)) {
		data = order.AppendUint16(data, u)
	}
	return string(data)
}

// What old files write where newer ones write JSON.
func TestParseLegacy_Dialects(t *testing.T) {
	property := func(lines string) string { return legacyStart + "[ProductProperty]\ntype: unicode\nname: p\n" + lines }
	for _, tt := range []struct {
		name, text     string
		values, preset []any
	}{
		{"words", property("values: a, b c ,d\ndefault: b c\n"), []any{"a", "b c", "d"}, []any{"b c"}},
		{"lines", property("values: a\n b\n\n c\ndefault: a\n"), []any{"a", "b", "c"}, []any{"a"}},
		{"one default with a comma", property("default: CN=x,DC=y\n"), nil, []any{"CN=x,DC=y"}},
		{"many defaults", property("multivalue: True\ndefault: x, y\n"), nil, []any{"x", "y"}},
		{"JSON on lines", property("multivalue: True\nvalues: [\"a\",\n\t\"b, c\"\n ]\ndefault: [\"a\", \"b, c\"]\n"), []any{"a", "b, c"}, []any{"a", "b, c"}},
		{"JSON numbers", property("values: [1, 2]\ndefault: [1]\n"), []any{"1", "2"}, []any{"1"}},
		{"nothing", property("values:\ndefault:\n"), nil, nil},
		{"bool in any case", legacyStart + "[ProductProperty]\ntype: Bool\nname: p\ndefault: TRUE\n", []any{true, false}, []any{true}},
		{"bool in JSON", legacyStart + "[ProductProperty]\ntype: BoolProductProperty\nname: p\nvalues: [true, false]\ndefault: [false]\n", []any{true, false}, []any{false}},
	} {
		c, err := control.ParseLegacy([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if p := c.Properties[0]; !cmp.Equal(p.PossibleValues, tt.values, cmpopts.EquateEmpty()) || !cmp.Equal(p.DefaultValues, tt.preset, cmpopts.EquateEmpty()) {
			t.Errorf("%s: values %q, default %q", tt.name, p.PossibleValues, p.DefaultValues)
		}
	}
	c, err := control.ParseLegacy([]byte(strings.Replace(legacyStart, "localboot", "LocalBoot", 1) +
		"[Windows]\nsoftwareids: {12-AB}, Tool 1\n[productdependency]\naction: Setup\nrequiredProduct: x\nrequiredAction: SETUP\nrequirementType: Before\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Dependencies[0]
	if d.ProductAction != fleet.Setup || d.RequiredAction != fleet.Setup || d.RequirementType != "before" || !cmp.Equal(c.Product.WindowsSoftwareIDs, []string{"{12-AB}", "Tool 1"}) {
		t.Errorf("%+v, %+v", c.Product, d)
	}
}

const (
	legacyStart = "[Package]\nversion: 1\n[Product]\ntype: localboot\nid: tool\nversion: 1.0\n"
	tomlStart   = "[Package]\nversion = \"1\"\n[Product]\ntype = \"LocalbootProduct\"\nid = \"tool\"\nversion = \"1.0\"\n"
)

func TestParseLegacy_Refuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "[Package] and a [Product]"},
		{"unknown key", legacyStart + "setupSkript: x\n", `line 7: unknown key "setupSkript", did you mean "setupScript"?`},
		{"far from any key", legacyStart + "colour: x\n", `line 7: unknown key "colour", want one of`},
		{"unknown section", legacyStart + "[Colours]\n", "line 7: unknown section \"Colours\", want one of Package, Product, Windows"},
		{"section misspelt", legacyStart + "[ProductProperties]\n", `did you mean "ProductProperty"?`},
		{"key twice", legacyStart + "id: other\n", "line 7: \"id\" is given twice"},
		{"section twice", legacyStart + "[Product]\n", "line 7: there is a second [Product]"},
		{"changelog twice", legacyStart + "[Changelog]\na\n[Changelog]\nb\n", "line 9: there is a second [Changelog]"},
		{"no section", "id: x\n", "line 1: a section"},
		{"torn header", legacyStart + "Changelog]\n", "line 7:"},
		{"nothing to continue", " x\n", "line 1:"},
		{"two lines where one belongs", legacyStart + "name: a\n b\n", "[Product] name"},
		{"upper-case id", strings.Replace(legacyStart, "id: tool", "id: Tool", 1), "product id"},
		{"id that is a device", strings.Replace(legacyStart, "id: tool", "id: nul", 1), "NUL is a device on Windows"},
		{"id that is a device with an ending", strings.Replace(legacyStart, "id: tool", "id: com1.x", 1), "COM1 is a device on Windows"},
		{"id that ends with a dot", strings.Replace(legacyStart, "id: tool", "id: tool.", 1), "Windows drops a dot"},
		{"version with a blank", strings.Replace(legacyStart, "version: 1.0", "version: 1 0", 1), "version"},
		{"no version", strings.Replace(legacyStart, "version: 1.0", "", 1), "productVersion"},
		{"long package version", strings.Replace(legacyStart, "version: 1\n", "version: 12345678901234567\n", 1), "package version"},
		{"priority", legacyStart + "priority: 101\n", "between -100 and 100"},
		{"priority word", legacyStart + "priority: high\n", "whole number"},
		{"script outside", legacyStart + "setupScript: ../x\n", "leaves the product's folder"},
		{"template of the other type", legacyStart + "pxeConfigTemplate: x\n", "only a NetbootProduct"},
		{"type", strings.Replace(legacyStart, "localboot", "wildboot", 1), "unknown type"},
		{"truth", legacyStart + "licenseRequired: maybe\n", "true or false"},
		{"depends", "[Package]\nversion: 1\ndepends: a >= 1\n[Product]\ntype: localboot\nid: tool\nversion: 1.0\n", "not of the form"},
		{"depends condition", "[Package]\nversion: 1\ndepends: a (== 1)\n[Product]\ntype: localboot\nid: tool\nversion: 1.0\n", "unknown condition"},
		{"property twice", legacyStart + "[ProductProperty]\nname: a\n[ProductProperty]\nname: A\n", "two of this name"},
		{"default not allowed", legacyStart + "[ProductProperty]\nname: a\neditable: false\nvalues: [\"b\"]\ndefault: c\n", "not among its values"},
		{"broken list", legacyStart + "[ProductProperty]\nname: a\nvalues: [\"b\"\n", "want a list"},
		{"two defaults", legacyStart + "[ProductProperty]\nname: a\ndefault: [\"b\", \"c\"]\n", "more than one default"},
		{"bool of many", legacyStart + "[ProductProperty]\ntype: bool\nname: a\nmultivalue: true\n", "a bool has one value"},
		{"dependency on nothing", legacyStart + "[ProductDependency]\naction: setup\n", "requiredProductId"},
		{"dependency without need", legacyStart + "[ProductDependency]\naction: setup\nrequiredProduct: x\n", "neither"},
		{"dependency twice", legacyStart + strings.Repeat("[ProductDependency]\naction: setup\nrequiredProduct: x\nrequiredAction: setup\n", 2), "two for the same"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := control.ParseLegacy([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParseTOML_Refuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", tomlStart + "licenceRequired = true\n", `line 7: unknown key "licenceRequired", did you mean "licenseRequired"?`},
		{"unknown key in a list", tomlStart + "[[ProductProperty]]\nname = \"a\"\ndefaults = []\n", `line 9: unknown key "defaults", did you mean "default"?`},
		{"unknown section", tomlStart + "[[ProductProperties]]\nname = \"a\"\n", `line 7: unknown section "ProductProperties", did you mean "ProductProperty"?`},
		{"syntax", tomlStart + "name = x\n", "line 7"},
		{"key twice", tomlStart + "id = \"a\"\n", "line 7"},
		{"number for text", tomlStart + "name = 5\n", "want text"},
		{"text for truth", tomlStart + "licenseRequired = \"true\"\n", "true or false"},
		{"depends table", strings.Replace(tomlStart, "[Product]", "depends = [{package = \"a\", versoin = \"1\"}]\n[Product]", 1), `did you mean "version"?`},
		{"not UTF-8", "\xff", "UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := control.ParseTOML([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRead_OlderFileRaised(t *testing.T) {
	files := map[string][]byte{"control.toml": []byte(tomlStart), "control": []byte(strings.Replace(legacyStart, "1.0", "1.1", 1))}
	_, err := control.Read(files)
	if err == nil || !strings.Contains(err.Error(), "1.1-1") || fleet.HintOf(err) == "" {
		t.Errorf("error %v (hint %q), want a refusal with a hint", err, fleet.HintOf(err))
	}
	if _, err := control.Read(nil); err == nil {
		t.Error("a package without control data was read")
	}
}

func TestDepends_AsWordsInTOML(t *testing.T) {
	c, err := control.ParseTOML([]byte(strings.Replace(tomlStart, "[Product]", "depends = [\"a\", \"b (> 1.0)\"]\n[Product]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := []control.Depend{{Package: "a"}, {Package: "b", Condition: ">", Version: "1.0"}}
	if diff := cmp.Diff(want, c.Depends); diff != "" {
		t.Error(diff)
	}
}

// anyControl draws control data in canonical form, by reading it once.
func anyControl(t *rapid.T) *control.Control {
	c := browser()
	words := rapid.StringMatching(`[ -~\n\täß€;#:\[\]{}"'\\,]{0,40}`)
	c.Product.Name = strings.TrimSpace(strings.NewReplacer("\n", "", "\t", "").Replace(words.Draw(t, "name")))
	c.Product.Description = words.Draw(t, "description")
	c.Product.Advice = words.Draw(t, "advice")
	c.Product.Changelog = words.Draw(t, "changelog")
	c.Product.WindowsSoftwareIDs = rapid.SliceOfN(rapid.StringMatching(`[ -~ä]{1,10}`), 0, 3).Draw(t, "ids")
	c.Product.Priority = rapid.Int64Range(-100, 100).Draw(t, "priority")
	for i := range c.Properties[:2] {
		p := &c.Properties[i]
		p.MultiValue, p.Editable = true, true
		p.PossibleValues, p.DefaultValues = nil, nil
		for _, w := range rapid.SliceOfN(words, 0, 3).Draw(t, "values") {
			p.PossibleValues = append(p.PossibleValues, w)
		}
	}
	return c
}

func TestControl_PrintsAndParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := anyControl(t)
		c, err := control.Read(map[string][]byte{"control.toml": drawn.TOML(), "changelog.txt": []byte(drawn.Product.Changelog)})
		if err != nil {
			t.Fatalf("%v\n%s", err, drawn.TOML())
		}
		text, err := c.Legacy()
		if err != nil {
			t.Fatal(err)
		}
		back, err := control.ParseLegacy(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(c, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("through control (-want +got):\n%s\n%s", diff, text)
		}
	})
}

func FuzzParseLegacy(f *testing.F) {
	f.Add(read(f, "control"))
	f.Add([]byte(legacyStart))
	f.Add([]byte(legacyStart + "name: \xfc\x96\n[ProductProperty]\nname: p\ndefault: a, \"b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := control.ParseLegacy(data)
		if err != nil {
			return
		}
		text, err := c.Legacy()
		if err != nil {
			t.Fatalf("read, but cannot be printed: %v", err)
		}
		again, err := control.ParseLegacy(text)
		if err != nil {
			t.Fatalf("printed, but cannot be read: %v\n%s", err, text)
		}
		if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", diff, text)
		}
	})
}

func FuzzParseTOML(f *testing.F) {
	f.Add(read(f, "control.toml"))
	f.Add([]byte(tomlStart))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := control.ParseTOML(data)
		if err != nil {
			return
		}
		again, err := control.ParseTOML(c.TOML())
		if err != nil {
			t.Fatalf("printed, but cannot be read: %v\n%s", err, c.TOML())
		}
		if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", diff, c.TOML())
		}
	})
}
