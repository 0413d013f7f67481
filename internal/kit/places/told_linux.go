package places

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// told hears of changes from the kernel until ctx ends, and costs nothing between
// them. What the messages say does not matter: whoever is called looks anew.
func told(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot hear of addresses that change: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR}); err != nil {
		return fmt.Errorf("cannot hear of addresses that change: %w", err)
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	changed() // what happened before anybody listened
	buffer := make([]byte, 64<<10)
	for {
		_, err := f.Read(buffer)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS): // that is: more happened than fits
			return fmt.Errorf("cannot hear of addresses that change: %w", err)
		}
		changed()
	}
}
