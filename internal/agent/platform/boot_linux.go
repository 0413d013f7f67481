package platform

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

func uptime() (time.Duration, error) {
	data, err := os.ReadFile("/proc/uptime")
	var seconds float64
	if err == nil {
		_, err = fmt.Sscan(string(data), &seconds)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the uptime: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

func systemDataDir() string { return "/var/lib/fernwerk-agent" }
