// Package wire turns plain data into bytes and back: JSON and MessagePack, and
// the content encodings that opsi clients and servers use with them.
//
// What is read has limits on its size, its depth and the number of its values,
// and a text that two readers could understand differently is refused. What is
// written goes piece by piece into a [Spool], so that a list of a hundred
// thousand rows is never in memory as a whole: [Printer.Print] takes a list that
// is made while it is written.
//
// Why a spool, and not straight onto the line: MessagePack wants a list's length
// before its elements, an error at the last row must not leave an answer that
// looks whole, and a client on a slow line must not hold a database's snapshot
// open for as long as it reads. The price is a file of the answer's size for the
// time of the transfer.
package wire
