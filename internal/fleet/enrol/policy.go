package enrol

import "github.com/fernwerk/fernwerk/internal/fleet"

// Policy is what a machine demands of content before it runs it.
type Policy string

// The policies; "" is that nobody said, and means plain-opsi: so are identities of
// before there were policies.
const (
	// Offline believes only what was signed by keys that are on no server.
	Offline Policy = "offline"
	// Delegated believes the server's own key too, for trees that a depot changed.
	Delegated Policy = "delegated"
	// PlainOpsi believes the server, as opsi does: whoever controls it runs what he likes.
	PlainOpsi Policy = "plain-opsi"
)

// ValidPolicy checks the name of a policy; an empty one is none.
func ValidPolicy(p Policy) error {
	switch p {
	case "", Offline, Delegated, PlainOpsi:
		return nil
	}
	return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%.40q is no policy", string(p)), "write offline, delegated or plain-opsi")
}
