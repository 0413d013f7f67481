//go:build unix && !linux

package secureexec

import (
	"os/exec"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// wait returns when the child has ended and the rest of its family is dead. The
// rest is killed after the child was reaped; that its number names another
// group by then needs all process numbers to be used up in between.
func (f *family) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	f.end()
	return err
}
