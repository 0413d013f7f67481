// Package fleet says what Fernwerk talks about: hosts, depots, products,
// action requests, host parameters, licences, inventory.
//
// Every kind of object is a Go struct whose tags are the only source of its
// rules: which columns identify it, what values they take, who wins when
// client and server both changed it, who may read it, what disappears with its
// owner. A [Class] is read from such a struct once; tables, RPC methods,
// access, merging and documentation all walk the list that [Classes] returns.
//
// Object and attribute names are those of the opsi object model, which real
// clients speak.
//
// The package is pure: no disk, no network, no clock.
package fleet
