package secureexec

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxEnviron bounds what is read of a process's environment, in bytes; the mark
	// stands where its parent put it.
	maxEnviron = 4 << 20
	leftLook   = 20 * time.Millisecond
)

// Mark is a variable for children, by which [EndLeft] knows them. Dir says whose they
// are: one process at a time uses it.
func Mark(dir string) []string {
	sid, err := unix.Getsid(0)
	if err != nil {
		return nil
	}
	return []string{markName + "=" + strconv.Itoa(sid) + ":" + dir}
}

// EndLeft ends what children with the [Mark] of dir are left of a process of ours that
// was killed, and waits for their end; it tells how many there were. A process is ended
// only if its own environment has the mark, or if it is in the process group of a child
// that had it, and if it is still in the session of whoever started it: who left the
// session was to live on. The mark of a process that another user started says nothing:
// he could start it again without end, and hold us up. A process's number was taken hold
// of before that was looked at, so that another one, which has it later, is never meant.
//
// Who cleared its environment, and is alone in its group by now, is not found.
func EndLeft(ctx context.Context, dir string) (int, error) {
	began, ended, first := time.Now(), map[int]bool{}, true
	for {
		all, err := leftOf(dir)
		if err != nil {
			return len(ended), fmt.Errorf("cannot look for what is left: %w", err)
		}
		late := time.Since(began)
		for _, p := range all {
			switch { // signals fail only if it is gone
			case late > leftGrace:
				p.Signal(unix.SIGKILL)
			case first: // and not whom they start to put their things in order
				p.Signal(unix.SIGTERM)
			}
			ended[p.Pid] = true
			p.Release()
		}
		first = false
		if len(all) == 0 {
			return len(ended), nil
		}
		if late > 2*leftGrace {
			return len(ended), fmt.Errorf("cannot end process %d, which is left of an earlier start", all[0].Pid)
		}
		select {
		case <-ctx.Done():
			return len(ended), ctx.Err()
		case <-time.After(leftLook):
		}
	}
}

// leftOf are the processes that EndLeft means. The caller releases them.
func leftOf(dir string) (all []*os.Process, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	ours := ancestors()
	type group struct{ pgid, sid int }
	type candidate struct {
		*os.Process
		group
		marked bool
	}
	var found []candidate
	marked, others := map[group]bool{}, map[group]bool{} // others: led by one that is not ours
	for pid := range ours {
		pgid, _ := unix.Getpgid(pid)
		sid, _ := unix.Getsid(pid)
		others[group{pgid, sid}] = true
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || ours[pid] {
			continue
		}
		p, err := os.FindProcess(pid) // holds the process, not the number
		if err != nil {
			continue
		}
		c := candidate{Process: p}
		c.pgid, _ = unix.Getpgid(pid)
		c.sid, err = unix.Getsid(pid)
		if err != nil || ended(pid) {
			p.Release()
			continue
		}
		if sid, of := markOf(pid); of == dir && sid == c.sid && isOurs(pid) {
			c.marked, marked[c.group] = true, true
		} else if pid == c.pgid {
			others[c.group] = true
		}
		found = append(found, c)
	}
	for _, c := range found {
		if c.marked || c.pgid > 0 && marked[c.group] && !others[c.group] {
			all = append(all, c.Process)
			continue
		}
		c.Release()
	}
	return all, nil
}

// markOf reads a process's mark.
func markOf(pid int) (sid int, dir string) {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEnviron))
	if err != nil {
		return 0, ""
	}
	for v := range bytes.SplitSeq(text, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(markName+"=")); ok {
			number, of, _ := bytes.Cut(value, []byte(":"))
			sid, err := strconv.Atoi(string(number))
			if err != nil {
				return 0, ""
			}
			return sid, string(of)
		}
	}
	return 0, ""
}

// isOurs tells whether our own user started a process, whatever rights it got by that.
func isOurs(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	_, rest, found := bytes.Cut(text, []byte("\nUid:"))
	var real int
	if n, _ := fmt.Sscan(string(rest), &real); err != nil || !found || n != 1 {
		return false
	}
	return real == os.Getuid()
}

// stat is a process's state and its parent.
func stat(pid int) (state byte, parent int) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0
	}
	var word string
	if _, rest, ok := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(") ")); ok { // behind the name
		fmt.Sscan(string(rest), &word, &parent)
	}
	if word == "" {
		return 0, 0
	}
	return word[0], parent
}

// ended tells whether a process has ended, and waits for its parent only.
func ended(pid int) bool {
	state, _ := stat(pid)
	return state == 'Z' || state == 'X' || state == 0
}

// ancestors are we and those who started us: they may have the mark, if a script
// started us.
func ancestors() map[int]bool {
	all := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !all[pid]; _, pid = stat(pid) {
		all[pid] = true
	}
	return all
}
