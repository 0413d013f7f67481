package secureexec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// errTextBusy is the error of a program file that another process still has
// open for writing.
const errTextBusy = windows.ERROR_SHARING_VIOLATION

// family is a Job Object that dies with its last handle, which is ours.
type family struct {
	mu  sync.Mutex
	job windows.Handle // 0 once closed
}

func newFamily(cmd *exec.Cmd) (*family, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make a job object: %w", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		windows.CloseHandle(job)
		return nil, fmt.Errorf("cannot limit a job object: %w", err)
	}
	// Suspended, so that it cannot start anyone before it is in the job.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP,
	}
	return &family{job: job}, nil
}

// adopt puts the suspended child into the job and lets it run.
func (f *family) adopt(p *os.Process) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid))
	if err != nil {
		return fmt.Errorf("cannot open the new process: %w", err)
	}
	defer windows.CloseHandle(process)
	if err := windows.AssignProcessToJobObject(f.job, process); err != nil {
		return fmt.Errorf("cannot put the new process into its job: %w", err)
	}
	return resume(uint32(p.Pid))
}

// resume wakes the threads of a process that was started suspended; it has one.
func resume(pid uint32) error {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return fmt.Errorf("cannot list threads: %w", err)
	}
	defer windows.CloseHandle(snapshot)
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	woken := 0
	for err = windows.Thread32First(snapshot, &entry); err == nil; err = windows.Thread32Next(snapshot, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return fmt.Errorf("cannot open the new process's thread: %w", err)
		}
		_, err = windows.ResumeThread(thread)
		windows.CloseHandle(thread)
		if err != nil {
			return fmt.Errorf("cannot wake the new process: %w", err)
		}
		woken++
	}
	if woken == 0 {
		return errors.New("cannot wake the new process: it has no thread")
	}
	return nil
}

// ask reports that there is no way to ask a family without a window to end.
func (f *family) ask() bool { return false }

func (f *family) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.job != 0 {
		windows.TerminateJobObject(f.job, 1)
	}
}

// end closes the job, which kills who is left.
func (f *family) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.job != 0 {
		windows.CloseHandle(f.job)
		f.job = 0
	}
}

// wait returns when the child has ended and the rest of its family is dead.
func (f *family) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	f.end()
	return err
}

func endSignal(*os.ProcessState) syscall.Signal { return 0 }
