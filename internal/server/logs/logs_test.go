package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const host = "pc1.example.org"

func open(t *testing.T) (*Logs, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, dir
}

func (l *Logs) put(t *testing.T, text string, appendTo bool) {
	t.Helper()
	if err := l.Write("instlog", host, []byte(text), appendTo); err != nil {
		t.Fatal(err)
	}
}

func (l *Logs) newest(t *testing.T, size int64) string {
	t.Helper()
	data, err := l.Read("instlog", host, size)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWriteAndRead(t *testing.T) {
	l, dir := open(t)
	if got := l.newest(t, 0); got != "" {
		t.Errorf("before the first write: %q", got)
	}
	l.put(t, "one\n", true)
	l.put(t, "two\n", true)
	if got := l.newest(t, 0); got != "one\ntwo\n" {
		t.Errorf("appended: %q", got)
	}
	for size, want := range map[int64]string{8: "one\ntwo\n", 7: "two\n", 4: "two\n", 3: "wo\n"} {
		if got := l.newest(t, size); got != want {
			t.Errorf("the newest %d bytes: %q, want %q", size, got, want)
		}
	}
	l.put(t, "three\n", false)
	if got := l.newest(t, -1); got != "three\n" {
		t.Errorf("replaced: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "instlog", host+".log")); err != nil {
		t.Error(err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	l, dir := open(t)
	for _, n := range [][2]string{
		{"../passwd", host}, {"", host}, {"instlog/..", host}, {"INSTLOG", host},
		{"instlog", ""}, {"instlog", "../../etc"}, {"instlog", "pc1"}, {"instlog", "a.b.c/../../x.y.z"}, {"instlog", "a.b.c\x00.d"}, {"instlog", strings.Repeat("a.", 200) + "b"},
	} {
		if err := l.Write(n[0], n[1], []byte("x"), true); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("write %q: %v", n, err)
		}
		if _, err := l.Read(n[0], n[1], 0); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("read %q: %v", n, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A link that somebody put into the folder does not lead out of it.
func TestLinksDoNotLeadOut(t *testing.T) {
	l, dir := open(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "instlog")); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("instlog", host, []byte("x"), true); err == nil {
		t.Error("written outside")
	}
}

func TestRotation(t *testing.T) {
	l, dir := open(t)
	line := strings.Repeat("x", 99) + "\n"
	big := strings.Repeat(line, rotateAbove/100)
	l.put(t, big, true)
	l.put(t, "after\n", true)
	if got := l.newest(t, 0); got != "after\n" {
		t.Errorf("%d bytes after the rotation", len(got))
	}
	old, err := os.ReadFile(filepath.Join(dir, "instlog", host+".log.1"))
	if err != nil || string(old) != big {
		t.Errorf("the old one has %d bytes, %v", len(old), err)
	}
	l.put(t, strings.Repeat(line, 2*hardLimit/100)+"end\n", false)
	got := l.newest(t, 0)
	if len(got) > hardLimit || len(got) < hardLimit-100 || !strings.HasSuffix(got, "end\n") || !strings.HasPrefix(got, line) {
		t.Errorf("%d bytes of too many", len(got))
	}
}

func TestNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(rapid.StringOf(rapid.SampledFrom([]rune("ab\nü€"))).Draw(t, "text"))
		size := rapid.Int64Range(0, 40).Draw(t, "size")
		got := Newest(text, size)
		if int64(len(got)) > size && int64(len(text)) > size || !bytes.HasSuffix(text, got) || !utf8.Valid(got) {
			t.Fatalf("%q", got)
		}
		start := len(text) - len(got)
		if start > 0 && text[start-1] != '\n' && bytes.Contains(bytes.TrimSuffix(got, []byte("\n")), []byte("\n")) {
			t.Fatalf("%q begins within a line although a later one begins inside", got)
		}
	})
}

// A new log that cannot be written leaves the one that is there.
func TestFailedWriteKeepsTheLog(t *testing.T) {
	l, dir := open(t)
	if err := l.Write("instlog", "pc1.example.org", []byte("first\n"), false); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(dir, "instlog", "pc1.example.org.log.new")
	if err := os.Symlink("/dev/full", blocked); err != nil {
		t.Skip(err)
	}
	if err := l.Write("instlog", "pc1.example.org", []byte("second\n"), false); err == nil {
		t.Error("written where nothing can be")
	}
	for _, want := range []string{"first\n", "third\n"} {
		data, err := l.Read("instlog", "pc1.example.org", 0)
		if err != nil || string(data) != want {
			t.Errorf("log %q, %v, want %q", data, err, want)
		}
		if err := l.Write("instlog", "pc1.example.org", []byte("third\n"), false); err != nil {
			t.Errorf("with room again: %v", err)
		}
	}
}
