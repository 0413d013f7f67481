package depots

import (
	_ "embed"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// selectionParameter says how a client chooses its depot.
const selectionParameter = "clientconfig.depot.selection_mode"

// usualSelection counts where the parameter says nothing that we know.
const usualSelection = "network_address"

// selections are the values of the parameter, as opsi has them.
var selections = map[string]bool{"master_and_latency": true, "latency": true, "network_address": true, "random": true}

// selection is the text for opsi's clients; it defines selectDepot, which they
// call. The mode is put before it.
//
//go:embed selection.py
var selection string

// selectionAlgorithm answers with the mode of the calling client, or of all.
func selectionAlgorithm(c *methods.Call) (any, error) {
	mode := usualSelection
	err := c.View(func(tx *store.Tx) error {
		values, err := params.Of(tx, c.Actor.ID, selectionParameter)
		if v := values[selectionParameter]; len(v) > 0 {
			if s, ok := v[0].(string); ok && selections[s] {
				mode = s
			}
		}
		return err
	})
	return fmt.Sprintf("MODE = %q\n%s", mode, selection), err
}
