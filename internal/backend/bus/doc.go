// Package bus is the message bus of opsi as both ends see it: messages, the
// names of channels, and who may use which.
//
// A bus is one WebSocket at /messagebus/v1. Each of its binary frames is one
// message, a MessagePack object, packed as a whole with lz4 or gzip if the
// client asked for that in the address (?compression=lz4):
//
//	type, id         what it is; a UUID
//	sender, channel  who sent it, whom it is for
//	back_channel     where an answer goes; without it, the sender's session
//	created, expires milliseconds since 1970; it is good for a minute
//	ref_id           the message that this one answers
//
// Further fields belong to the type. The server writes the sender itself, so
// nobody speaks in another's name. "@" is the sender's own channel (host:ID or
// user:NAME), "$" that of this connection (session:UUID).
//
// The server answers on service:messagebus (subscriptions, traces) and
// service:config:jsonrpc (every method of /rpc); a host answers the methods of
// its control interface on host:ID. Types that would execute commands or move
// files on the other side (terminal_*, process_*, file_*) are refused.
//
// Names and fields are opsi's, because its clients and tools speak them.
package bus
