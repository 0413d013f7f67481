// Package port is what parts of a server promise the methods that ask them: how
// machines join, what was signed, which updates and scripts are published, what is
// known of nodes. The method table says who may ask; a part answers with rows of
// the fleet's store, in the caller's transaction where one is handed in.
//
// An agent has none of these parts, and its methods say so.
package port
