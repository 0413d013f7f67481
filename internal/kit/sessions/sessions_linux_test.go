package sessions

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What logind wrote on a machine with a display manager.
const (
	greeter = "# This is private data. Do not parse.\nUID=117\nUSER=lightdm\nACTIVE=1\nIS_DISPLAY=1\nSTATE=active\nREMOTE=0\nLEADER_FD_SAVED=1\nTYPE=x11\nORIGINAL_TYPE=x11\nCLASS=greeter\nSCOPE=session-c1.scope\nSEAT=seat0\nDISPLAY=:0\nREALTIME=1764449000000000\n"
	remote  = "UID=1000\nUSER=ann\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\nSERVICE=sshd\n"
)

func TestList(t *testing.T) {
	run := t.TempDir()
	if _, err := List(run); !errors.Is(err, ErrUnknown) {
		t.Errorf("nothing there: %v", err)
	}
	dir := filepath.Join(run, "systemd", "sessions")
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, text        string
		loggedIn, desktop bool
	}{
		{"c1", greeter, false, true},
		{"7", strings.ReplaceAll(remote, "CLASS=user", "CLASS=background"), false, false},
		{"8", strings.ReplaceAll(remote, "STATE=active", "STATE=closing"), false, false},
		{"9", strings.ReplaceAll(remote, "CLASS=user", "CLASS=manager-early"), false, false},
		{"10", remote, true, false},
		{"11", strings.ReplaceAll(remote, "TYPE=tty", "TYPE=wayland"), true, true},
		{"12", strings.ReplaceAll(remote, "CLASS=user", "CLASS=user-early"), true, false},
		{"13", "nonsense\x00\n=\nCLASS", false, false},
	} {
		write(c.name, c.text)
		list, err := List(run)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", c.name, list, err)
		}
		in, _ := LoggedIn(run)
		if in != c.loggedIn || list[0].Desktop() != c.desktop {
			t.Errorf("%s: %+v: logged in %v, desktop %v", c.name, list[0], in, list[0].Desktop())
		}
		if err := os.Remove(filepath.Join(dir, c.name)); err != nil {
			t.Fatal(err)
		}
	}
	write("c1", greeter)
	write("c1.ref", greeter)
	list, err := List(run)
	want := []Session{{ID: "c1", User: "lightdm", Class: "greeter", Type: "x11", State: "active"}}
	if d := cmp.Diff(want, list); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

// Without logind there is utmp.
func TestList_Utmp(t *testing.T) {
	run := t.TempDir()
	record := func(kind uint16, pid int, line, user string) []byte {
		r := make([]byte, recordSize())
		binary.NativeEndian.PutUint16(r, kind)
		binary.NativeEndian.PutUint32(r[offPID:], uint32(pid))
		copy(r[offLine:], line)
		copy(r[offUser:], user)
		return r
	}
	var data []byte
	for _, r := range [][]byte{record(2, 0, "~", "reboot"), record(6, 1, "tty1", "LOGIN"), record(userProcess, 1<<30, "tty2", "gone"),
		record(userProcess, os.Getpid(), "pts/0", "ann"), record(userProcess, os.Getpid(), ":0", "bob"), {1, 2, 3}} {
		data = append(data, r...)
	}
	if err := os.WriteFile(filepath.Join(run, "utmp"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := List(run)
	want := []Session{{"pts/0", "ann", "user", "tty", "active"}, {":0", "bob", "user", "x11", "active"}}
	if d := cmp.Diff(want, list); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

// What comes is told at once, also in folders that were not there.
func TestWatch(t *testing.T) {
	run := t.TempDir()
	dir := filepath.Join(run, "systemd", "sessions")
	ctx, cancel := context.WithTimeout(t.Context(), Slow-5*time.Second)
	defer cancel()
	changed, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		Watch(ctx, run, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	<-changed // it listens
	for _, step := range []func() error{
		func() error { return os.Mkdir(filepath.Join(run, "systemd"), 0o755) },
		func() error { return os.Mkdir(dir, 0o755) },
		func() error { return os.WriteFile(filepath.Join(dir, "c1"), []byte(greeter), 0o644) },
		func() error { return os.Remove(filepath.Join(dir, "c1")) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("not told")
		}
	}
	cancel()
	<-ended
}

func FuzzParse(f *testing.F) {
	f.Add(greeter)
	f.Add(remote)
	f.Add("CLASS=\"user\"\nTYPE")
	f.Fuzz(func(t *testing.T, text string) {
		s := parse("1", text)
		if s.Person() && !strings.Contains(text, "user") {
			t.Errorf("%+v", s)
		}
	})
}
