package update

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const whole = `#!/bin/sh
# fernwerk-update: 1
# number: 017
# id: motd
# title: Say who owns this machine
# platforms: linux, macos
# groups: branch, head office
# node-types: vnode
# audience: hosts
# after: 003, 016
# timeout: 10m
# on-failure: stop
# on-interrupt: ask

echo "property of the institute" >/etc/motd
`

func TestParse(t *testing.T) {
	f, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := &File{Interpreter: "#!/bin/sh", Body: "echo \"property of the institute\" >/etc/motd\n", Header: Header{
		Number: 17, ID: "motd", Title: "Say who owns this machine", Platforms: []string{"linux", "macos"}, Groups: []string{"branch", "head office"},
		NodeTypes: []string{"vnode"}, Audience: Hosts, After: []int{3, 16}, Timeout: 10 * time.Minute, OnFailure: Stop, OnInterrupt: Ask}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := string(f.Bytes()); got != whole {
		t.Errorf("printed:\n%s", got)
	}
}

func TestParse_Refuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, says string }{
		"no update":         {"# fernwerk-update: 1\n", "", `line 2: "# number: 017" is not the beginning of an update`},
		"other version":     {"update: 1", "update: 2", "is not the beginning of an update"},
		"carriage returns":  {"update: 1\n", "update: 1\r\n", "without a carriage return"},
		"unknown key":       {"# timeout:", "# timout:", `line 11: the header has no key "timout"; did you mean "timeout"?`},
		"twice":             {"# id: motd\n", "# id: motd\n# id: motd\n", "line 5: id stands already in line 4"},
		"order":             {"# id: motd\n# title: Say who owns this machine\n", "# title: x\n# id: motd\n", "line 5: id comes before title"},
		"missing":           {"# on-failure: stop\n", "", "on-failure is missing"},
		"no value":          {"# timeout: 10m", "# timeout 10m", `is not "# key: value"`},
		"number":            {"017", "17", `"17" is not the number of an update`},
		"id":                {"id: motd", "id: Motd", "is not the id of an update"},
		"platform":          {"linux, macos", "linux, makos", `"makos" is not one of linux, macos, windows; did you mean "macos"?`},
		"policy":            {"ask\n", "ack\n", `did you mean "ask"?`},
		"after itself":      {"003, 016", "003, 017", "017 is not before 017"},
		"not sorted":        {"003, 016", "016, 003", `write "003, 016", not "016, 003"`},
		"blanks":            {"linux, macos", "linux,macos", `write "linux, macos", not "linux,macos"`},
		"time":              {"10m", "600s", `write "10m", not "600s"`},
		"too long":          {"10m", "25h", "up to 24h"},
		"never":             {"10m", "0s", "is not a time"},
		"no end":            {"ask\n\necho \"property of the institute\" >/etc/motd\n", "ask\n", "the header does not end"},
		"no script":         {"echo \"property of the institute\" >/etc/motd\n", "\n", "there is no script"},
		"comment in header": {"ask\n\n", "ask\necho\n\n", `"echo" is not "# key: value"`},
		"rem":               {"# ", "rem ", "is not the beginning"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(whole, c.old, c.new)
			if text == whole {
				t.Fatal("nothing was changed")
			}
			_, err := Parse([]byte(text))
			if fleet.CodeOf(err) != fleet.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if _, ok := errors.AsType[*Problem](err); err != nil && !ok {
				t.Error("no line is known")
			}
		})
	}
	if _, err := Parse([]byte(whole + strings.Repeat("x", MaxFile))); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("too large: %v", err)
	}
}

func TestParse_Batch(t *testing.T) {
	h := Header{Number: 1, ID: "one", Title: "One", Suffix: ".cmd", Audience: Hosts, Timeout: time.Hour, OnFailure: Stop, OnInterrupt: Skip}
	f, err := Parse([]byte(h.Text() + "echo done\n"))
	if err != nil || f.Suffix != ".cmd" || !strings.HasPrefix(h.Text(), "rem fernwerk-update: 1\n") {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := Parse([]byte(strings.ReplaceAll(h.Text(), ".cmd", ".ps1") + "echo done\n")); err == nil {
		t.Error(`"rem" for PowerShell was taken`)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("rem fernwerk-update: 1\nrem number: 000\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		if got := file.Bytes(); string(got) != string(data) {
			t.Errorf("read %q, printed %q", data, got)
		}
	})
}

// Of many hosts an update reaches as many as was said, and a larger part holds the
// smaller one.
func TestRing(t *testing.T) {
	const hosts = 10_000
	var sum float64
	outside := 0
	for u := range 100 {
		id := fmt.Sprintf("update-%d", u)
		in5 := 0
		for h := range hosts {
			if Ring(fmt.Sprintf("client%d.nodes.example.org", h), id) < 500 {
				in5++
			}
		}
		percent := float64(in5) * 100 / hosts
		sum += percent
		if math.Abs(percent-5) > 0.5 {
			outside++
		}
		if u == 0 {
			t.Logf("5%% of %d hosts: %.2f%%", hosts, percent)
			if math.Abs(percent-5) > 0.5 {
				t.Errorf("%.2f%% of the hosts, not 5%%", percent)
			}
		}
	}
	t.Logf("100 updates: %.3f%% on average, %d more than 0.5 points away", sum/100, outside)
	if math.Abs(sum/100-5) > 0.1 || outside > 6 { // 2.2 of 100 by chance
		t.Errorf("100 updates: %.3f%% on average, %d more than 0.5 points away", sum/100, outside)
	}
	if got := Ring("PC1.example.org", "motd"); got != Ring("pc1.example.org", "motd") || got != 2665 {
		t.Errorf("the place of pc1.example.org for motd is %d: it must never change", got)
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string]int{"5%": 500, "0.25%": 25, "100%": 10_000, "12.5%": 1250, "0%": 0} {
		if n, err := ReadShare(text); err != nil || n != want || Share(n) != text {
			t.Errorf("%s: %d, %v, printed %s", text, n, err, Share(n))
		}
	}
	for _, text := range []string{"", "5", "%", "101%", "-1%", "+5%", "5.%", ".5%", "0.125%", "1e1%", "5 %"} {
		if n, err := ReadShare(text); err == nil {
			t.Errorf("%q was read as %d", text, n)
		}
	}
}

func header(number int, after ...int) Header {
	return Header{Number: number, ID: fmt.Sprintf("u%d", number), Title: "t", Audience: Hosts, After: after, Timeout: time.Minute, OnFailure: Stop, OnInterrupt: Ask}
}

func TestCheck(t *testing.T) {
	linux := header(1)
	linux.Platforms = []string{"linux"}
	feed := header(1)
	feed.Audience = Feed
	named := header(2)
	named.ID = "u1"
	for name, c := range map[string]struct {
		list []Header
		says string
	}{
		"good":           {[]Header{header(2, 1), header(1)}, ""},
		"twice":          {[]Header{header(1), header(1)}, "number 001 stands twice"},
		"id twice":       {[]Header{header(1), named}, `updates 001 and 002 are both called "u1"`},
		"nothing before": {[]Header{header(2, 1)}, "update 002 comes after 001, which is not published"},
		"circle":         {[]Header{header(1, 2), header(2, 1)}, "update 001 cannot come after 002"},
		"platforms":      {[]Header{linux, header(2, 1)}, "reaches fewer hosts: its platforms"},
		"audience":       {[]Header{feed, header(2, 1)}, "reaches fewer hosts: its audience"},
	} {
		err := Check(c.list)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := Without([]Header{header(17), header(18, 17), header(19, 17)}, 17)
	if fleet.CodeOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "018, 019 come after it") {
		t.Errorf("%v", err)
	}
	if err := Without([]Header{header(17), header(18, 17)}, 18); err != nil {
		t.Error(err)
	}
}

// A list that was checked can be run: each finds what it comes after before it.
func TestCheck_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []Header
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			h := header(rapid.IntRange(0, 6).Draw(t, "number"), rapid.SliceOfN(rapid.IntRange(0, 6), 0, 2).Draw(t, "after")...)
			list = append(list, h)
		}
		if Check(list) != nil {
			return
		}
		slices.SortFunc(list, func(a, b Header) int { return a.Number - b.Number })
		done := map[int]bool{}
		for _, h := range list {
			for _, n := range h.After {
				if !done[n] {
					t.Fatalf("%03d comes after %03d, which was not there", h.Number, n)
				}
			}
			done[h.Number] = true
		}
		for _, h := range list { // what can go leaves a list that holds
			if Without(list, h.Number) == nil {
				rest := slices.DeleteFunc(slices.Clone(list), func(o Header) bool { return o.Number == h.Number })
				if err := Check(rest); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
