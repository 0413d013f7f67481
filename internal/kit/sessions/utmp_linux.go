package sessions

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The parts of a record of utmp that matter; the C library has it in one size or in
// another, by the width of its times.
const (
	userProcess = 7
	offPID      = 4
	offLine     = 8
	offUser     = 44
	nameSize    = 32
)

func recordSize() int {
	switch runtime.GOARCH {
	case "arm64", "riscv64", "loong64":
		return 400
	}
	return 384
}

// users reads utmp. A record of a process that has gone is of nobody.
func users(path string) ([]Session, error) {
	data, err := readSome(path, maxUtmp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read who is logged in: %w", err)
	}
	var list []Session
	for size := recordSize(); len(data) >= size; data = data[size:] {
		if binary.NativeEndian.Uint16(data) != userProcess {
			continue
		}
		pid := strconv.Itoa(int(int32(binary.NativeEndian.Uint32(data[offPID:]))))
		if _, err := os.Stat("/proc/" + pid); err != nil {
			continue
		}
		line, user := cString(data[offLine:offLine+nameSize]), cString(data[offUser:offUser+nameSize])
		s := Session{ID: line, User: user, Class: "user", Type: "tty", State: "active"}
		if strings.HasPrefix(line, ":") {
			s.Type = "x11"
		}
		list = append(list, s)
	}
	return list, nil
}

func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// tell has the kernel tell when sessions come and go. Where that cannot be, nobody does.
func tell(run string, told chan<- struct{}) (stop func(), tells bool) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return func() {}, false
	}
	for _, dir := range []string{filepath.Join(run, "systemd", "sessions"), filepath.Join(run, "systemd"), run} { // the innermost that is there
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_CLOSE_WRITE); err == nil {
			tells = true
			break
		}
	}
	queue := os.NewFile(uintptr(fd), "inotify")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 16<<10)
		for {
			if _, err := queue.Read(buffer); err != nil {
				return
			}
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}()
	return func() { queue.Close(); <-ended }, tells
}
