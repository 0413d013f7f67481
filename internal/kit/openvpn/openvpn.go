// Package openvpn drives a real openvpn: it speaks its management protocol over a
// Unix socket and writes its configuration.
//
// Scripts that openvpn calls hold up every other client while they run, and are
// text made of what clients say. Over the management socket openvpn asks, goes on
// with the others, and takes the answer when it comes. So there is no script here,
// and none of the configurations allows one.
//
//	c, err := openvpn.Dial(ctx, socket)  // waits for openvpn's greeting
//	go c.Serve(ctx, func(e openvpn.Event) { ... })  // reads until the connection ends
//	c.Accept(ctx, e.CID, e.KID, push)
//
// What openvpn writes is read strictly and within limits ([Parser]); what is
// written to it are numbers, addresses and names that are checked here, never a
// line that came from elsewhere. The socket is open to everybody who reaches it:
// its folder is its owner's alone. openvpn has one management client at a time; a
// second one gets no greeting.
//
// Tried with OpenVPN 2.6.
package openvpn

import (
	"errors"
	"regexp"
	"time"
)

// Program is what has to be on the machine.
const Program = "openvpn"

const (
	// MaxSocket is how long the path of a socket may be, in bytes.
	MaxSocket = 107
	// GreetWithin is how long a connection waits for openvpn's greeting.
	GreetWithin = 5 * time.Second

	maxLine  = 64 << 10
	maxEnv   = 512
	maxBlock = 256 << 10 // bytes of one event's variables
	maxReply = 65536     // lines of one answer
)

// ErrClosed is that of commands on a connection that has ended.
var ErrClosed = errors.New("the management connection has ended")

var (
	deviceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)
	domainName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)
	plainText  = regexp.MustCompile(`^[ !#-\[\]-~]{0,200}$`) // printable ASCII without " and \
)
