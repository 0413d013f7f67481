//go:build !linux

package site

import "os/exec"

// endWithUs is for Linux: elsewhere a child may outlive us if we are killed.
func endWithUs(*exec.Cmd) {}
