package site

import (
	"golang.org/x/sys/unix"
)

// fail has the system call at whose entry a thread stands fail with EIO: there is
// no call of the number -1, and what that would give is written over at the exit.
func (s *Steps) fail(thread int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	if err := unix.PtraceSetRegs(thread, &regs); err != nil {
		return err
	}
	if err := unix.PtraceSyscall(thread, 0); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(thread, &status, unix.WALL|wnothread, nil); err != nil {
		return err
	}
	if err := unix.PtraceGetRegs(thread, &regs); err != nil {
		return err
	}
	regs.Rax = ^uint64(unix.EIO) + 1 // -EIO
	return unix.PtraceSetRegs(thread, &regs)
}
