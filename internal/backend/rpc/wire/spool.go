package wire

import (
	"io"
	"os"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	// spoolMemory is how much of a value is kept in memory: nearly all answers
	// are smaller.
	spoolMemory = 256 << 10
	spoolPiece  = 4 << 10 // the least that is booked
)

// Spool keeps what is printed until it is whole: a value whose end cannot be
// made is not sent at all, and who reads slowly holds up nothing where the value
// comes from. It is in memory up to 256 KiB, then in a file without a name. The
// zero value is ready. Close it.
type Spool struct {
	// Dir is the folder for large values; empty is the system's for temporary files.
	Dir string
	// Memory and Disk, where set, are asked before room is used. What Memory
	// refuses goes to disk.
	Memory, Disk Book

	buf   []byte // what is not in the file; it stands behind that
	room  int    // of memory, booked
	whole bool   // in memory, however large
	file  *os.File
	name  string // of a file that could not be made nameless
	filed int64  // bytes of the file that count
	disk  int64  // bytes of it, booked
}

// Len is how many bytes there are.
func (s *Spool) Len() int64 { return s.filed + int64(len(s.buf)) }

// Write adds to the end.
func (s *Spool) Write(p []byte) (int, error) {
	if err := s.reserve(len(p)); err != nil {
		return 0, err
	}
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// WriteByte adds one byte to the end.
func (s *Spool) WriteByte(c byte) error {
	if err := s.reserve(1); err != nil {
		return err
	}
	s.buf = append(s.buf, c)
	return nil
}

// reserve sees to it that n more bytes may be put into memory.
func (s *Spool) reserve(n int) error {
	need := len(s.buf) + n
	if need <= s.room || s.whole || s.file == nil && s.grow(need) {
		return nil
	}
	return s.flush()
}

func (s *Spool) grow(need int) bool {
	if need > spoolMemory {
		return false
	}
	room := min(max(2*s.room, need, spoolPiece), spoolMemory)
	if s.Memory != nil && s.Memory(int64(room-s.room)) != nil {
		return false
	}
	s.room = room
	return true
}

// flush moves what is in memory to the file.
func (s *Spool) flush() error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return fleet.Errorf(fleet.Unavailable, "cannot keep a large answer: %w", err)
		}
	}
	if more := s.Len() - s.disk; more > 0 && s.Disk != nil {
		if err := s.Disk(more); err != nil {
			return err
		}
		s.disk += more
	}
	if _, err := s.file.WriteAt(s.buf, s.filed); err != nil {
		return fleet.Errorf(fleet.Unavailable, "cannot keep a large answer: %w", err)
	}
	s.filed, s.buf = s.Len(), s.buf[:0]
	return nil
}

// open makes the file, and takes away its name, so that not even a crash leaves
// it. Systems that keep the name of an open file lose it in Close.
func (s *Spool) open() (err error) {
	if s.file, err = os.CreateTemp(s.Dir, "answer-"); err != nil {
		return err
	}
	if os.Remove(s.file.Name()) != nil {
		s.name = s.file.Name()
	}
	return nil
}

// Truncate takes back all but the first n bytes.
func (s *Spool) Truncate(n int64) {
	if n >= s.filed {
		s.buf = s.buf[:n-s.filed]
		return
	}
	s.filed, s.buf = n, s.buf[:0]
}

// patch replaces bytes that are there.
func (s *Spool) patch(at int64, p []byte) error {
	if at >= s.filed {
		copy(s.buf[at-s.filed:], p)
		return nil
	}
	if at+int64(len(p)) > s.filed {
		if err := s.flush(); err != nil {
			return err
		}
	}
	_, err := s.file.WriteAt(p, at)
	return err
}

// WriteTo writes all there is.
func (s *Spool) WriteTo(w io.Writer) (n int64, err error) {
	if s.file != nil {
		if n, err = io.Copy(w, io.NewSectionReader(s.file, 0, s.filed)); err != nil {
			return n, err
		}
	}
	m, err := w.Write(s.buf)
	return n + int64(m), err
}

// Bytes is all there is, if it is in memory.
func (s *Spool) Bytes() ([]byte, bool) { return s.buf, s.file == nil }

// Close gives the room back.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.name != "" {
		err = os.Remove(s.name)
	}
	s.file, s.filed, s.buf = nil, 0, nil
	return err
}
