package trust

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Pin is the root document that counts, as tokens and answers to joins carry it:
// whoever joins by it begins there. Nil: nobody has made one. It is from memory, as
// a thousand machines may join at once; a root that was the newest a moment ago is
// as good, hosts follow from there.
func (t *Trust) Pin(*store.Tx) (*enrol.Root, error) {
	s := t.served.Load()
	if !s.root {
		return nil, nil
	}
	pin := s.pin
	return &pin, nil
}
