package depotclient

import (
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sealed"
)

// maxSealed is the longest sealed password, in hexadecimal digits.
const maxSealed = 2048

// unseal opens a password that a server sealed for this host. It hides the
// password from nobody who has the host key, and proves nothing; the connection
// does.
func unseal(text, hostKey string) (string, error) {
	if len(text) > 0 && len(text) <= maxSealed {
		if secret, err := sealed.Open(hostKey, text); err == nil && secret != "" {
			return secret, nil
		}
	}
	return "", fleet.Errorf(fleet.Invalid, "cannot read the password that the server sent: it was not made with this host's key")
}
