package methods

import (
	"bytes"
	"encoding/json"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Plain turns a struct into the plain data that every codec carries.
func Plain(v any, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out any
	if err := dec.Decode(&out); err != nil {
		return nil, err
	}
	return fleet.Whole(out), nil
}
