//go:build unix

package secureexec

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
)

const errTextBusy = syscall.ETXTBSY

// family is a process group led by the child.
type family struct {
	mu   sync.Mutex
	pgid int  // 0 until the child runs
	gone bool // the leader has been reaped: its number may name someone else
}

func newFamily(cmd *exec.Cmd) (*family, error) {
	cmd.SysProcAttr = attributes()
	return &family{}, nil
}

// adopt learns the group's number, which is the leader's: the child made the
// group before it executed anything.
func (f *family) adopt(p *os.Process) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pgid = p.Pid
	return nil
}

// ask sends SIGTERM to everyone and reports that asking is possible.
func (f *family) ask() bool { f.signal(syscall.SIGTERM); return true }

func (f *family) kill() { f.signal(syscall.SIGKILL) }

func (f *family) signal(s syscall.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pgid > 0 && !f.gone {
		syscall.Kill(-f.pgid, s) // fails only if nobody is left
	}
}

// end kills who is left and closes the family for good.
func (f *family) end() {
	f.kill()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
}

func endSignal(state *os.ProcessState) syscall.Signal {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}
