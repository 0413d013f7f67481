package term

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9950: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		133_000_000: "133 MB", 2_500_000_000: "2.5 GB", math.MaxInt64: "9.2 EB", -1500: "-1.5 kB", math.MinInt64: "-9.2 EB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 400 * time.Millisecond: "0.4s", 53 * time.Second: "53s", 9960 * time.Millisecond: "10s",
		59600 * time.Millisecond: "1m00s", 185 * time.Second: "3m05s", 3599600 * time.Millisecond: "1h00m",
		130 * time.Minute: "2h10m", 76 * time.Hour: "3d04h", -time.Second: "-1.0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for s, want := range map[string]string{
		"plain äöü 日本 👩‍💻":      "plain äöü 日本 👩‍💻",
		"\x1b[2Jgone":           `\x1b[2Jgone`,
		"\u009b31m":             `\u009b31m`,
		"a\nb\tc\rd\x7f":        `a\nb\tc\x0dd\x7f`,
		"bad \xff utf8":         `bad \xff utf8`,
		"x\u202egnp.exe":        `x\u202egnp.exe`,
		"real \ufffd character": "real \ufffd character",
	} {
		if got := Clean(s); got != want {
			t.Errorf("Clean(%q) = %q, want %q", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		got := Clean(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unsafe) {
			t.Fatalf("Clean(%q) = %q", s, got)
		}
		if Clean(got) != got {
			t.Fatalf("not stable: %q", got)
		}
	})
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, []string{"Host", "State"}, [][]string{{"pc1.example.org", "ok"}, {"evil\x1b[2J\n", ""}, {"日本", "x"}}); err != nil {
		t.Fatal(err)
	}
	want := `Host             State
pc1.example.org  ok
evil\x1b[2J\n
日本               x
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := Table(&out, []string{"Host"}, nil); err != nil || out.Len() != 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestIsTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if IsTerminal(f) || IsTerminal(&bytes.Buffer{}) {
		t.Error("a file is no terminal")
	}
	if ModeFor(f) != Lines {
		t.Error("a file gets lines")
	}
}

// transfer moves 100 MB at 2.5 MB/s in steps of 10 ms.
func transfer(t *testing.T, mode Mode, out *bytes.Buffer) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(out, mode, "hello", 0, 100_000_000)
		for range 4000 {
			time.Sleep(10 * time.Millisecond) // bubble time
			p.Add(25_000)
		}
		p.Close()
		p.Add(1) // after the end: nothing
	})
}

func TestProgress_Bar(t *testing.T) {
	var out bytes.Buffer
	transfer(t, Bar, &out)
	drawn := strings.Split(out.String(), "\r")
	if len(drawn) < 380 || len(drawn) > 410 {
		t.Errorf("drawn %d times in 40 s", len(drawn))
	}
	want := "hello [##########----------] 50 MB of 100 MB, 50 %, 2.5 MB/s, 20s left"
	found := false
	for _, line := range drawn {
		found = found || strings.TrimRight(line, " ") == want
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("wider than the screen: %q", line)
		}
	}
	if !found {
		t.Errorf("no line is %q, but:\n%s", want, strings.Join(drawn[195:205], "\n"))
	}
	if last := drawn[len(drawn)-1]; last != "hello: 100 MB in 40s, 2.5 MB/s\n" {
		t.Errorf("ends with %q", last)
	}
	if strings.ContainsRune(out.String(), 0x1b) {
		t.Error("an escape sequence")
	}
}

func TestProgress_Lines(t *testing.T) {
	var out bytes.Buffer
	transfer(t, Lines, &out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 9 || lines[3] != "hello: 50 MB of 100 MB, 50 %, 2.5 MB/s, 20s left" || strings.Contains(out.String(), "\r") {
		t.Errorf("%d lines:\n%s", len(lines), out.String())
	}
}

func TestProgress_Silent(t *testing.T) {
	var out bytes.Buffer
	transfer(t, Silent, &out)
	if out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestProgress_UnknownTotalAndHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&out, Bar, "fetch\x1b", 0, 0)
		p.Add(5000)
		p.Println("a\x1bb")
		p.Set(6000, 6000)
		time.Sleep(time.Second)
		p.Close()
		want := "\rfetch\\x1b: 5.0 kB" + "\r" + strings.Repeat(" ", 17) + "\ra\\x1bb\n" + "fetch\\x1b: 6.0 kB in 1.0s, 6.0 kB/s\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}
