//go:build !linux

package steer

import "syscall"

// Can tells whether this system is steered.
const Can = false

// Table is the machine's routes that lead into a device.
type Table struct{ Device string }

// Set does nothing here: the device has the whole network.
func (Table) Set([]Route) error { return nil }

// Loosen does nothing here.
func Loosen(string) error { return nil }

// Bind does nothing here: there is one way.
func Bind(string) func(network, address string, c syscall.RawConn) error { return nil }

// Forwards is not known here.
func Forwards(string) bool { return false }
