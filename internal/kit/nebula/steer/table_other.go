//go:build !linux

package steer

// Can tells whether this system is steered.
const Can = false

// Table is the machine's routes that lead into a device.
type Table struct{ Device string }

// Set does nothing here: the device has the whole network.
func (Table) Set([]Route) error { return nil }

// Loosen does nothing here.
func Loosen(string) error { return nil }

// Forwards is not known here.
func Forwards(string) bool { return false }
