package opsi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// shape is what an answer must look like.
type shape func(t *testing.T, v any)

func null(t *testing.T, v any) {
	t.Helper()
	if v != nil {
		t.Errorf("answered %v, want null", v)
	}
}

func is(want string) shape {
	return func(t *testing.T, v any) {
		t.Helper()
		if got := fmt.Sprint(v); got != want {
			t.Errorf("answered %s, want %s", got, want)
		}
	}
}

// has wants a mapping with these keys, and perhaps more.
func has(keys string) shape {
	return func(t *testing.T, v any) {
		t.Helper()
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("answered a %T, want a mapping", v)
		}
		for k := range strings.FieldsSeq(keys) {
			if _, there := m[k]; !there {
				t.Errorf("%v lacks %s", slices.Sorted(maps.Keys(m)), k)
			}
		}
	}
}

// attributes are those of opsi's classes; the first of them, up to the colon,
// are the identity.
var attributes = map[string]string{
	"OpsiClient":             "id : opsiHostKey description notes hardwareAddress ipAddress inventoryNumber oneTimePassword created lastSeen systemUUID",
	"OpsiConfigserver":       "id : opsiHostKey description notes hardwareAddress ipAddress inventoryNumber depotLocalUrl depotRemoteUrl depotWebdavUrl repositoryLocalUrl repositoryRemoteUrl workbenchLocalUrl workbenchRemoteUrl networkAddress maxBandwidth isMasterDepot masterDepotId systemUUID",
	"BoolConfig":             "id : description possibleValues defaultValues editable multiValue",
	"UnicodeConfig":          "id : description possibleValues defaultValues editable multiValue",
	"ConfigState":            "configId objectId : values",
	"LocalbootProduct":       "id productVersion packageVersion : name licenseRequired setupScript uninstallScript updateScript alwaysScript onceScript customScript userLoginScript priority description advice changelog productClassIds windowsSoftwareIds",
	"UnicodeProductProperty": "productId productVersion packageVersion propertyId : description possibleValues defaultValues editable multiValue",
	"ProductPropertyState":   "productId propertyId objectId : values",
	"ProductDependency":      "productId productVersion packageVersion productAction requiredProductId : requiredProductVersion requiredPackageVersion requiredAction requiredInstallationStatus requirementType",
	"ProductOnDepot":         "productId productType productVersion packageVersion depotId : locked",
	"ProductOnClient":        "productId productType clientId : targetConfiguration installationStatus actionRequest lastAction actionProgress actionResult productVersion packageVersion modificationTime actionSequence",
	"ProductGroup":           "id : description notes parentGroupId",
	"ObjectToGroup":          "groupType groupId objectId :",
	"LicensePool":            "id : description productIds",
	"VolumeSoftwareLicense":  "id licenseContractId : maxInstallations boundToHost expirationDate",
	"LicenseOnClient":        "softwareLicenseId licensePoolId clientId : licenseKey notes",
}

// objects wants so many objects of these types, whole: as a program that makes
// objects of its own from them needs them.
func objects(n int, types ...string) shape {
	return func(t *testing.T, v any) {
		t.Helper()
		list, ok := v.([]any)
		if !ok || len(list) != n && n >= 0 {
			t.Fatalf("answered %T with %d objects, want %d", v, len(list), n)
		}
		for _, e := range list {
			object(t, e, types)
		}
	}
}

func object(t *testing.T, v any, types []string) {
	t.Helper()
	m, ok := v.(map[string]any)
	typ, _ := m["type"].(string)
	if !ok || !slices.Contains(types, typ) {
		t.Fatalf("got a %T of type %q, want an object of %v", v, typ, types)
	}
	ident, rest, _ := strings.Cut(attributes[typ], ":")
	var values []string
	for name := range strings.FieldsSeq(ident) {
		if m[name] == nil {
			t.Errorf("%s lacks %s", typ, name)
		}
		values = append(values, fmt.Sprint(m[name]))
	}
	if typ == "ProductGroup" { // groups are found by their type too
		values = []string{fmt.Sprint(m["ident"])}
	}
	if got := strings.Join(values, ";"); m["ident"] != got {
		t.Errorf("%s %s has the ident %v", typ, got, m["ident"])
	}
	known := strings.Fields(ident + rest)
	for _, name := range known {
		if _, there := m[name]; !there {
			t.Errorf("%s %s lacks %s", typ, m["ident"], name)
		}
	}
	for name, v := range m {
		if name != "type" && name != "ident" && !slices.Contains(known, name) {
			t.Errorf("%s %s has an attribute %s that no program of opsi knows", typ, m["ident"], name)
		}
		if list, isList := v.([]any); isList {
			for _, e := range list {
				scalar(t, typ, name, e)
			}
			continue
		}
		scalar(t, typ, name, v)
	}
}

func scalar(t *testing.T, typ, name string, v any) {
	t.Helper()
	switch v.(type) {
	case nil, bool, string, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
	default:
		t.Errorf("%s has a %T in %s", typ, v, name)
	}
}

// values wants one attribute of each object.
func values(attribute string, want ...any) shape {
	return func(t *testing.T, v any) {
		t.Helper()
		list, _ := v.([]any)
		var got []any
		for _, e := range list {
			m, _ := e.(map[string]any)
			got = append(got, m[attribute])
		}
		if fmt.Sprintf("%v", got) != fmt.Sprintf("%v", want) {
			t.Errorf("%s: %v, want %v", attribute, got, want)
		}
	}
}

func all(shapes ...shape) shape {
	return func(t *testing.T, v any) {
		t.Helper()
		for _, s := range shapes {
			s(t, v)
		}
	}
}
