package trust

import (
	"encoding/hex"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Signed is the content of a target that the current list, signed offline, names
// itself: nothing that a delegated role says counts here.
func (t *Trust) Signed(tx *store.Tx, name string) ([]byte, error) {
	s, err := load(tx)
	if err != nil {
		return nil, err
	}
	if s.root == nil || s.targets == nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "nothing was signed offline and handed in yet"), "begin with: fernwerk trust init")
	}
	target, ok := s.targets.Targets[name]
	if !ok {
		return nil, fleet.Errorf(fleet.NotFound, "%s is not in the list that was signed offline and handed in", name)
	}
	data, err := getContent(tx, hex.EncodeToString(target.SHA256[:]))
	if err == nil {
		err = target.Check(data)
	}
	return data, err
}
