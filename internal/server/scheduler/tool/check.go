package tool

import (
	"regexp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

const label = `[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?`

var (
	validName  = regexp.MustCompile(`^` + label + `(\.` + label + `)+$`)
	validHost  = regexp.MustCompile(`^` + label + `(\.` + label + `)*$`)
	validKey   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	validValue = regexp.MustCompile(`^[A-Za-z0-9 ._:/@+-]{0,255}$`)
)

// Check refuses a node with anything in it that a scheduler's program could take
// for more than a value: it comes before any program runs.
func Check(n node.Node) error {
	if len(n.Name) > 253 || !validName.MatchString(n.Name) {
		return fleet.Errorf(fleet.Invalid, "cannot use %.80q as a node's name: it is no fully qualified name", n.Name)
	}
	if !n.Up {
		return nil // nothing else is told
	}
	if len(n.HostID) > 253 || !validHost.MatchString(n.HostID) {
		return fleet.Errorf(fleet.Invalid, "cannot use %.80q as a host", n.HostID)
	}
	if err := enrol.ValidNodeType(n.NodeType); err != nil {
		return err
	}
	return Properties(n.Name, n.Properties)
}

// Properties checks keys and values.
func Properties(name string, all map[string]string) error {
	for key, value := range all {
		if !validKey.MatchString(key) || !validValue.MatchString(value) {
			return fleet.Errorf(fleet.Invalid, "cannot set property %.80q of %.80q to %.80q: programs of schedulers would take it for more than a value", key, name, value)
		}
	}
	return nil
}

// Told is a client's name as a program may see it: somebody else's name server
// said it, so what is no name is none.
func Told(name string) string {
	if len(name) > 253 || !validHost.MatchString(name) {
		return ""
	}
	return name
}
