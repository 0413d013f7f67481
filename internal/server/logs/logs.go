// Package logs keeps the logs that hosts send: what opsi calls instlog,
// clientconnect and so on, one file a type and host.
//
// Files are DIR/<type>/<host>.log, as on an opsi server, so that people and
// their scripts find them. A log that is replaced, or would grow beyond 5 MB, is
// kept as <host>.log.1; one write of more than 10 MB keeps its newest part,
// from a line start on. A host has so no more than 30 MB of a type. Names come from the network: the type is one of a
// list, the host is a host id, and the files are opened below an os.Root.
package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Types are the kinds of logs, those of opsi.
var Types = []string{"bootimage", "clientconnect", "instlog", "opsiconfd", "userlogin", "winpe"}

// Sizes in bytes, and former logs that are kept.
const (
	keptBefore  = 1
	rotateAbove = 5_000_000
	hardLimit   = 10_000_000
)

// Logs is a folder of logs. It implements the port methods.Logs.
type Logs struct {
	root *os.Root
	mu   sync.Mutex // writers: a rotation and an append must not cross
}

// Open opens, or makes, the folder.
func Open(dir string) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open the logs: %w", err)
	}
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		return nil, fmt.Errorf("cannot open the logs: %w", err)
	}
	return &Logs{root: root}, nil
}

// Close closes the folder.
func (l *Logs) Close() error { return l.root.Close() }

func name(logType, host string) (string, error) {
	if !slices.Contains(Types, logType) {
		return "", fleet.Errorf(fleet.Invalid, "cannot use log type %q: the types are %s", logType, strings.Join(Types, ", "))
	}
	host = strings.ToLower(host)
	if err := fleet.ValidHostID(host); err != nil {
		return "", fleet.Errorf(fleet.Invalid, "cannot use log of %q: %w", host, err)
	}
	return path.Join(logType, host+".log"), nil
}

// Write replaces a log, or adds to it.
func (l *Logs) Write(logType, host string, data []byte, appendTo bool) error {
	file, err := name(logType, host)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.write(file, Newest(data, hardLimit), appendTo)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot write log %s: %w", file, err), "make room on the server's disk")
	}
	if err != nil {
		return fmt.Errorf("cannot write log %s: %w", file, err)
	}
	return nil
}

// write keeps the former log until the new one is there: a full disk takes no
// log away.
func (l *Logs) write(file string, data []byte, appendTo bool) error {
	if err := l.root.MkdirAll(path.Dir(file), 0o700); err != nil {
		return err
	}
	if !appendTo {
		err := l.save(file+".new", os.O_TRUNC, data)
		if err == nil {
			err = l.keep(file)
		}
		if err == nil {
			err = l.root.Rename(file+".new", file)
		}
		if err != nil {
			l.root.Remove(file + ".new") // its room is wanted
		}
		return err
	}
	if info, err := l.root.Stat(file); err == nil && info.Size()+int64(len(data)) > rotateAbove {
		if err := l.root.Rename(file, file+".1"); err != nil {
			return err
		}
	}
	return l.save(file, os.O_APPEND, data)
}

// keep gives a log, if there is one, its second name. It has the first until
// another log takes that.
func (l *Logs) keep(file string) error {
	err := l.root.Remove(file + ".1")
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = l.root.Link(file, file+".1")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (l *Logs) save(file string, mode int, data []byte) error {
	f, err := l.root.OpenFile(file, os.O_WRONLY|os.O_CREATE|mode, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Limits are what whoever sends logs has to know.
func (*Logs) Limits() methods.LogLimits {
	return methods.LogLimits{Size: hardLimit, Rotated: keptBefore, Types: slices.Clone(Types)}
}

// Read returns the newest part of a log: at most maxSize bytes, or all of it if
// maxSize is 0 or less, beginning at the start of a line. A log that was never
// written is empty.
func (l *Logs) Read(logType, host string, maxSize int64) ([]byte, error) {
	file, err := name(logType, host)
	if err != nil {
		return nil, err
	}
	if maxSize <= 0 || maxSize > hardLimit {
		maxSize = hardLimit
	}
	data, err := l.tail(file, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read log %s: %w", file, err)
	}
	return Newest(data, maxSize), nil
}

// tail reads the last bytes of a file, one more than asked for, so that
// [Newest] sees whether a line begins there.
func (l *Logs) tail(file string, size int64) ([]byte, error) {
	f, err := l.root.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-size-1)
	return io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
}

// Newest cuts a text to at most size bytes, keeping its end from a line start
// on. A last line longer than size is cut between two characters.
func Newest(data []byte, size int64) []byte {
	if int64(len(data)) <= size {
		return data
	}
	cut := int64(len(data)) - size
	if data[cut-1] == '\n' {
		return data[cut:]
	}
	if i := bytes.IndexByte(data[cut:], '\n'); i >= 0 && int64(i) < size-1 {
		return data[cut+int64(i)+1:]
	}
	for cut < int64(len(data)) && !utf8.RuneStart(data[cut]) {
		cut++
	}
	return data[cut:]
}
