package enrol

import (
	"regexp"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// word is what may stand for a node type or a tunnel: the seed's `vnode`. It goes
// into certificates, zone files and schedulers' properties.
var word = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// ValidNodeType checks the name of a node type, the seed's `idhaltype`.
func ValidNodeType(name string) error {
	if !word.MatchString(name) {
		return fleet.Errorf(fleet.Invalid, "%q is not a node type: it is a lower-case letter, then up to 30 letters, digits and -", name)
	}
	return nil
}

// ValidTunnel checks the name of a tunnel.
func ValidTunnel(name string) error {
	if !word.MatchString(name) {
		return fleet.Errorf(fleet.Invalid, "%q is not a tunnel's name: it is a lower-case letter, then up to 30 letters, digits and -", name)
	}
	return nil
}
