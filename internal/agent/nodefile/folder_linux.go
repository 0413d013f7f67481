package nodefile

import (
	"os"
	"strconv"
	"syscall"
)

// openFolder opens a folder of a folder. [os.Root.OpenRoot] would wait at a pipe that
// somebody puts there until somebody writes, and nobody does.
func openFolder(at *os.Root, name string) (*os.Root, error) {
	f, err := at.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
}
