package platform

import (
	"fmt"
	"os"
	"strings"
)

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

func systemDataDir() string { return "/var/lib/fernwerk-agent" }
