// Package rpc is the wire between a caller and a [methods.Backend]: JSON-RPC
// over HTTP as opsi clients and servers speak it, both ends of it.
//
// [Handler] puts any Backend behind /rpc; [Client] is a Backend that asks such
// a handler, or a plain opsi server. What goes in at one end comes out at the
// other: results as plain data with int64 numbers, errors as [fleet.Error]
// with their code and hint.
//
// # The format
//
// A request is {"jsonrpc", "id", "method", "params"} or a list of them, as JSON
// or MessagePack, named by Content-Type and answered in kind; or the same JSON,
// URL-quoted, as the query string of a GET. With "jsonrpc": "2.0" the answer is
// JSON-RPC 2.0, without it the older {"id", "result", "error"}. Every call is
// answered, also one without an id (as 0), because opsi does so. A failed call
// is HTTP 200 with an error that carries opsi's class name for old clients and
// our code and hint beside it. Other statuses are about the request as a whole.
//
// Bodies may be compressed with zstd, lz4 (frames), deflate or gzip; answers
// are when they are longer than 10,000 bytes, as opsi has it.
//
// # Limits
//
// Nobody is read before he is authenticated. Then the unpacked size, the number
// of values, the depth and the calls of a batch are limited, and text that is
// not UTF-8, repeated keys, numbers beyond 64 bits and trailing data are
// refused: a request that two readers could understand differently is not a
// request.
//
// Not here: which methods exist, who may call them, and what a trailing
// dictionary of positional parameters means. Package methods knows.
package rpc
