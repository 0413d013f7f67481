// Package opsi tests the server with an independent client of opsi's protocol.
//
// opsi's own programs cannot be had from the package registries, so peer.py was
// written from the protocol's facts, with Debian's HTTP, MessagePack and lz4
// libraries, which share no code with ours. It is no proof that a real opsi
// program works, but a misreading of the wire that server and client of ours
// have in common is found by it.
package opsi
