package platform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func bootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return id, nil
}

func systemDataDir() string { return "/Library/Application Support/Fernwerk/agent" }
