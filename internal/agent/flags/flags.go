// Package flags keeps the agent's durable yes-or-no facts: config_cached,
// products_cached, installation_pending, and whatever else a precondition of
// the event configuration names. A flag that was never set is false.
package flags

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// The flags that the agent sets itself; the names are the seed's.
const (
	ConfigCached        = "config_cached"
	ProductsCached      = "products_cached"
	InstallationPending = "installation_pending"
	RebootRequested     = "reboot_requested"
)

// UserLoggedIn is never written: it is how things are when somebody asks.
const UserLoggedIn = "user_logged_in"

// Flag is one fact.
type Flag struct {
	Name string `col:"name,ident"`
	Set  bool   `col:"set"`
}

// Flags is the class of Flag, for [store.Open].
var Flags = fleet.LocalClass[Flag]("flag")

// Set writes a flag.
func Set(tx *store.Tx, name string, to bool) error {
	return tx.Put(Flags, fleet.Row{"name": name, "set": to})
}

// All reads every flag that was ever set.
func All(tx *store.Tx) (map[string]bool, error) {
	list, err := store.All[Flag](tx, Flags, nil)
	out := make(map[string]bool, len(list))
	for _, f := range list {
		out[f.Name] = f.Set
	}
	return out, err
}
