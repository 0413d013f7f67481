package slowline

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// settle waits, a second at most, until the kernel has passed all written
// bytes to the receiver: a reset throws away what it still holds.
func settle(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	for range 1000 {
		unsent := 0
		raw.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) })
		if err != nil || unsent == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
