package platform

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

func bootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return id, nil
}

func uptime() (time.Duration, error) {
	boot, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return 0, fmt.Errorf("cannot read the uptime: %w", err)
	}
	return time.Since(time.Unix(boot.Unix())), nil
}

func systemDataDir() string { return "/Library/Application Support/Fernwerk/agent" }
