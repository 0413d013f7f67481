//go:build !linux

package deadman

import (
	"os/exec"
	"time"
)

// clock is the machine's: what is guarded runs on Linux.
func clock() (time.Duration, error) { return time.Duration(time.Now().UnixNano()), nil }

func apart(*exec.Cmd) {}

func dead(int) bool { return false }
