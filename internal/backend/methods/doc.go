// Package methods is the list of everything that can be asked of a fleet: one
// table, one row a method, with its name, parameters, access and handler.
//
// The dispatcher, backend_getInterface, access control, shell completion, the
// documentation and the conformance suite all walk that table. The methods of
// the object classes (host_getObjects, configState_create, ...) are generated
// rows; those with a meaning of their own are written by hand, here or in the
// packages below this one, and joined by package catalog. Names, parameters and
// results are opsi's, because real clients call them.
//
// A [Service] answers over a store: the server over its database, the agent
// over its cache. What differs between the two is handed in as [Ports]; a
// method whose port is absent answers that it is not here.
package methods
