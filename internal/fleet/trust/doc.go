// Package trust says which content a machine may believe, whoever brought it.
//
// What a server hands out may have been changed by whoever broke into it. So the
// list of everything that machines may run is signed by keys that never were on a
// server: product trees (by the digest of their manifest), updates, and the
// configuration that decides what runs. The documents are those of The Update
// Framework (TUF 1.0): a root names the keys of the other roles, targets is the
// signed list, a snapshot binds the newest versions together, and a timestamp is
// the one small document to ask for. The server's own keys sign snapshot and
// timestamp, and one delegated role, [Depot], which may speak of `depot/...` only.
//
// This is our own verifier, of some 900 lines, because it runs as root on every
// machine. It takes a part of TUF, and is stricter in it: Ed25519 keys only, one
// level of delegations, and canonical JSON only, so that whatever parses prints
// back byte for byte: no second spelling of a document exists that another
// program might read otherwise. What it writes, go-tuf accepts, and the other way
// round; the tests hold both to it.
//
// Expiry is a state and no refusal: a machine that slept for a year, or whose
// server is gone, goes on with what it holds, and says since when that is stale.
// Rollback, mixing, and content that does not match are refused.
//
// Nothing here asks a clock or a disk. The agent keeps the documents
// (agent/trust), the server publishes them (server/trust).
package trust
