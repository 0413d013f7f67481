//go:build !linux

package systemd

// owned is for systems that have systemd.
func owned(string) error { return nil }
