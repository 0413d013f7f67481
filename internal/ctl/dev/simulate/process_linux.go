package simulate

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// clockTick is the unit of /proc/PID/stat: USER_HZ, which is 100 on all
// architectures that Go knows.
const clockTick = 10 * time.Millisecond

func self() int { return os.Getpid() }

// usageOf reads /proc (proc(5)).
func usageOf(pid int) (u usage, ok bool) {
	if pid == 0 {
		return u, false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, false
	}
	// The second field is a name in brackets that may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return u, false
	}
	for _, f := range fields[11:13] { // utime and stime
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, false
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, false
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.resident = kib << 10
		case "VmHWM":
			u.peak = kib << 10
		}
	}
	return u, true
}

// enoughFiles tells whether this process may open a connection for each host.
func enoughFiles(hosts int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil
	}
	if need := uint64(hosts + 50); limit.Cur < need {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot simulate %d hosts: this process may open %d files only", hosts, limit.Cur),
			"raise the limit first: ulimit -n %d", need)
	}
	return nil
}
