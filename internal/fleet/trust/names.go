package trust

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Platforms are those that a product's target can be bound to.
var Platforms = []string{"any", "linux", "windows", "macos"}

// ProductName is the name of a product's tree: what is signed is the text of its
// manifest.
func ProductName(id, productVersion, packageVersion, platform string) string {
	return "product/" + id + "/" + productVersion + "-" + packageVersion + "/" + platform
}

// DepotName is the name of a tree that a depot changed after it was signed: its
// server's key vouches for it, in the role [Depot].
func DepotName(depotID, id, productVersion, packageVersion, platform string) string {
	return "depot/" + depotID + "/" + ProductName(id, productVersion, packageVersion, platform)
}

// UpdateName is the name of an update; its number has three digits or more.
func UpdateName(number string) string { return "update/" + number }

// ConfName is the name of the configuration that is signed for all machines, or
// for those of one node type.
func ConfName(nodeType string) string {
	if nodeType == "" {
		nodeType = "all"
	}
	return "conf/" + nodeType + ".conf"
}

// ContentPath is where a server has the content of a target.
func (t Target) ContentPath() string { return fmt.Sprintf("content/%x", t.SHA256) }

// FileName is where a server has a document of a role.
func FileName(role string, version int64) string {
	if role == RoleTimestamp {
		return RoleTimestamp + ".json"
	}
	return fmt.Sprintf("%d.%s.json", version, role)
}

// Scripts says which file of a product's tree is run for which action, by the name
// of the product's field: setupScript, uninstallScript and so on. It is signed with
// the tree: whoever may choose another file of a tree to run runs what nobody signed.
type Scripts map[string]string

var scriptField = regexp.MustCompile(`^[a-z]+Script$`)

// Custom is what a target says of itself.
func (s Scripts) Custom() (json.RawMessage, error) {
	table := map[string]any{}
	for field, file := range s {
		if !scriptField.MatchString(field) || file == "" {
			return nil, fleet.Errorf(fleet.Invalid, "cannot sign the script %q for %q", file, field)
		}
		table[field] = file
	}
	return appendCanonical(nil, map[string]any{"scripts": table})
}

// Scripts reads the scripts that were signed with a product. A product without any
// has an empty table.
func (t Target) Scripts() (Scripts, error) {
	if len(t.Custom) == 0 {
		return nil, fleet.Errorf(fleet.Denied, "its scripts are not signed")
	}
	o, err := canonical(t.Custom)
	if err != nil {
		return nil, err
	}
	table, ok := o["scripts"].(map[string]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Denied, "its scripts are not signed")
	}
	out := Scripts{}
	for _, field := range slices.Sorted(maps.Keys(table)) {
		file, ok := table[field].(string)
		if !ok || !scriptField.MatchString(field) || file == "" {
			return nil, fleet.Errorf(fleet.Denied, "its table of scripts is not understood at %q", clip(field))
		}
		out[field] = file
	}
	return out, nil
}

// Counts says whether what a role vouches for counts under a policy.
func Counts(p enrol.Policy, role string) bool {
	return role == RoleTargets || p != enrol.Offline && role != ""
}
