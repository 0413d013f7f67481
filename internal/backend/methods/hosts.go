package methods

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// hostID is a host's name as the store has it.
func hostID(name string) (string, error) {
	id := strings.ToLower(name)
	return id, fleet.ValidHostID(id)
}
