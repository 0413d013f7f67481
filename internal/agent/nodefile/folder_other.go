//go:build !linux

package nodefile

import "os"

// openFolder opens a folder of a folder.
func openFolder(at *os.Root, name string) (*os.Root, error) { return at.OpenRoot(name) }
