package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

const odd = "\uFEFF; by hand\r\n\r\n[global]\r\n\tlog_level  =  6  \r\n# 100 % =\r\nhost_id=\r\n" +
	"[event_gui_startup{user_logged_in}]\r\nactive=false"

func parse(t testing.TB, text string) *conf.File {
	t.Helper()
	f, err := conf.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFile_PrintsBackWhatItRead(t *testing.T) {
	for _, text := range []string{"", odd, string(conf.Default().Bytes())} {
		if diff := cmp.Diff(text, string(parse(t, text).Bytes())); diff != "" {
			t.Error(diff)
		}
	}
}

func TestFile_Entries(t *testing.T) {
	var got []conf.Entry
	for e := range parse(t, odd).Entries() {
		got = append(got, e)
	}
	want := []conf.Entry{
		{Section: "global", Key: "log_level", Value: "6", Line: 4},
		{Section: "global", Key: "host_id", Line: 6},
		{Section: "event_gui_startup{user_logged_in}", Key: "active", Value: "false", Line: 8},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFile_SetChangesOneLine(t *testing.T) {
	tests := []struct{ name, section, key, value, from, to string }{
		{"in its line, blanks and line end kept", "global", "log_level", "7", odd, strings.Replace(odd, "=  6  \r", "=  7\r", 1)},
		{"where no value was", "global", "host_id", "a.b.c", odd, strings.Replace(odd, "host_id=\r", "host_id= a.b.c\r", 1)},
		{"to nothing", "global", "log_level", "", odd, strings.Replace(odd, "=  6  \r", "=\r", 1)},
		{"the same is no change", "global", "log_level", "6", odd, odd},
		{"after the last entry", "global", "base_dir", "/x", odd, strings.Replace(odd, "host_id=\r\n", "host_id=\r\nbase_dir = /x\r\n", 1)},
		{"in a new section", "event_timer", "active", "true", odd, odd + "\r\n\r\n[event_timer]\r\nactive = true\r\n"},
		{"in an empty file", "global", "log_level", "1", "", "[global]\nlog_level = 1\n"},
		{"in an empty section without line end", "global", "log_level", "1", "[global]", "[global]\nlog_level = 1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, tt.from)
			if err := f.Set(tt.section, tt.key, tt.value); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.to, string(f.Bytes())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFile_SetRefuses(t *testing.T) {
	f := parse(t, odd)
	for _, tt := range [][3]string{
		{"global", "log_level", "1\nurl = http://evil"}, {"global", "log_level", " 1"}, {"global", "log_level", "a\x00"},
		{"global]\n[x", "a", "1"}, {"global", "a=b", "1"}, {"", "a", "1"}, {"global", "", "1"}, {"global", "Log", "1"},
	} {
		if err := f.Set(tt[0], tt[1], tt[2]); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("Set%q: %v", tt, err)
		}
	}
	if string(f.Bytes()) != odd {
		t.Error("a refused Set changed the file")
	}
}

func TestFile_Unset(t *testing.T) {
	f := parse(t, odd)
	if !f.Unset("global", "log_level") || f.Unset("global", "log_level") || f.Unset("global", "") {
		t.Error("Unset does not tell whether there was one")
	}
	if diff := cmp.Diff(strings.Replace(odd, "\tlog_level  =  6  \r\n", "", 1), string(f.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestParse_NamesEveryMistake(t *testing.T) {
	_, err := conf.Parse(strings.NewReader("key = 1\n[global]\nword\n[Global]\n[global]\nlog_level = 1\nlog_level = 2\nlog-level = 3\n[open\nx = \x01\n" +
		"y = " + strings.Repeat("y", conf.MaxLine) + "\n"))
	want := `line 1: key stands before the first [section]
line 3: "word" is neither [section] nor key = value nor # comment
line 4: "[Global]" is not a section such as [global] or [event_timer{cache_ready}], in lower case
line 5: section [global] stands already in line 2
line 7: log_level stands already in line 6
line 8: "log-level" is not a key: letters a-z, digits and _
line 9: "[open" is not a section such as [global] or [event_timer{cache_ready}], in lower case
line 10: holds a control character or is not UTF-8
line 11: longer than 16384 bytes`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" || fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("%s (-want +got):\n%s", fleet.CodeOf(err), diff)
	}
	if _, err := conf.Parse(strings.NewReader(strings.Repeat("#\n", conf.MaxFile))); fleet.CodeOf(err) != fleet.TooLarge {
		t.Errorf("a huge file: %v", err)
	}
}

// checkFile holds for whatever Parse accepts.
func checkFile(t testing.TB, text, value string) {
	t.Helper()
	f, err := conf.Parse(strings.NewReader(text))
	if err != nil {
		return
	}
	if string(f.Bytes()) != text {
		t.Fatalf("%q prints back as %q", text, f.Bytes())
	}
	before := map[[2]string]string{}
	for e := range f.Entries() {
		before[[2]string{e.Section, e.Key}] = e.Value
	}
	if f.Set("global", "log_level", value) != nil {
		return
	}
	back := parse(t, string(f.Bytes()))
	before[[2]string{"global", "log_level"}] = value
	after := map[[2]string]string{}
	for e := range back.Entries() {
		after[[2]string{e.Section, e.Key}] = e.Value
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Fatalf("%q after Set(%q) is %q:\n%s", text, value, f.Bytes(), diff)
	}
	text = string(f.Bytes())
	if err := f.Set("global", "log_level", value); err != nil || string(f.Bytes()) != text {
		t.Fatalf("setting the same again gives %q, %v", f.Bytes(), err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("", "1")
	f.Add(odd, "1 = 2 # [x]")
	f.Add(string(conf.Default().Bytes()), "%global.base_dir%")
	f.Add("[global]\nlog_level=\t \r\r\n", "")
	f.Fuzz(func(t *testing.T, text, value string) { checkFile(t, text, value) })
}

func TestFile_SetAnywhere(t *testing.T) {
	lineGen := rapid.SampledFrom([]string{"[global]", "[event_x]", "[event_x{y}]", "# c", "", "log_level = 1", " log_level=", "b =\t2 ", "active = = x ;", "c=%a.b%"})
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOf(lineGen).Draw(rt, "lines")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "end")
		text := strings.Join(lines, end)
		if rapid.Bool().Draw(rt, "line end") {
			text += end
		}
		checkFile(t, text, rapid.SampledFrom([]string{"", "1", "=", "[x]", "# ;"}).Draw(rt, "value"))
	})
}
