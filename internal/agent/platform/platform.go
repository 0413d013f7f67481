// Package platform is what the agent must ask the operating system for, one
// file a system, the same functions in each.
package platform

import (
	"os"
	"path/filepath"
	"time"
)

// BootIDEnv overrides the machine's boot id: demonstrations and tests restart
// the agent as if the machine had booted.
const BootIDEnv = "FERNWERK_BOOT_ID"

// BootID changes with every boot of the machine, and with nothing else.
func BootID() (string, error) {
	if id := os.Getenv(BootIDEnv); id != "" {
		return id, nil
	}
	return bootID()
}

// Uptime is since when the machine runs.
func Uptime() (time.Duration, error) { return uptime() }

// DataDir is where the agent keeps its data if nothing else is said.
func DataDir() string {
	if os.Geteuid() <= 0 { // root, or Windows, where it is -1
		return systemDataDir()
	}
	if dir, err := os.UserConfigDir(); err == nil {
		return filepath.Join(dir, "fernwerk-agent")
	}
	return "fernwerk-agent"
}
