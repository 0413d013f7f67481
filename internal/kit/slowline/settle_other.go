//go:build !linux

package slowline

import "net"

// settle does nothing here: no portable call tells what is unsent. A receiver
// that does not keep up may miss the last bytes before a CutAfter.
func settle(net.Conn) {}
