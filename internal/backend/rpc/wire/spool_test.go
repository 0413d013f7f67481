package wire

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A spool holds what a slice would, whether memory is short or not, and leaves
// nothing behind.
func TestSpool_HoldsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.IntRange(0, 2*spoolMemory).Draw(t, "memory")
		var disk int64
		s := &Spool{
			Dir:    dir,
			Memory: func(n int64) error { memory -= int(n); return refuse(memory < 0) },
			Disk:   func(n int64) error { disk += n; return nil },
		}
		defer s.Close()
		var want []byte
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				n := rapid.IntRange(0, len(want)).Draw(t, "truncate to")
				s.Truncate(int64(n))
				want = want[:n]
			case 1:
				if len(want) < 4 {
					continue
				}
				at := rapid.IntRange(0, len(want)-4).Draw(t, "patch at")
				if err := s.patch(int64(at), []byte("1234")); err != nil {
					t.Fatal(err)
				}
				copy(want[at:], "1234")
			case 2:
				s.WriteByte('x')
				want = append(want, 'x')
			default:
				p := bytes.Repeat([]byte{byte(rapid.Int().Draw(t, "byte"))}, rapid.SampledFrom([]int{1, 100, 5000, 70_000, 300_000}).Draw(t, "size"))
				if _, err := s.Write(p); err != nil {
					t.Fatal(err)
				}
				want = append(want, p...)
			}
			if s.Len() != int64(len(want)) {
				t.Fatalf("%d bytes, want %d", s.Len(), len(want))
			}
		}
		var got bytes.Buffer
		if _, err := s.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%v; %d bytes, want %d", err, got.Len(), len(want))
		}
		if _, inMemory := s.Bytes(); !inMemory && disk < s.filed {
			t.Errorf("%d bytes on disk, %d booked", s.filed, disk)
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func refuse(yes bool) error {
	if yes {
		return errors.New("no room")
	}
	return nil
}

func TestSpool_SaysThatThereIsNoRoom(t *testing.T) {
	full := errors.New("full")
	for name, tt := range map[string]struct {
		spool *Spool
		code  fleet.Code
		is    error
	}{
		"no folder": {&Spool{Dir: t.TempDir() + "/gone"}, fleet.Unavailable, os.ErrNotExist},
		"refused":   {&Spool{Dir: t.TempDir(), Disk: func(int64) error { return full }}, fleet.Internal, full},
	} {
		defer tt.spool.Close()
		data := make([]byte, spoolMemory)
		if _, err := tt.spool.Write(data); err != nil {
			t.Fatal(err)
		}
		if _, err := tt.spool.Write(data); fleet.CodeOf(err) != tt.code || !errors.Is(err, tt.is) {
			t.Errorf("%s: %v", name, err)
		}
		tt.spool.Truncate(0)
		if _, err := tt.spool.Write(data); err != nil {
			t.Errorf("%s: a small one afterwards: %v", name, err)
		}
	}
}
