package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits of a file.
const (
	MaxFile = 1 << 20  // bytes
	MaxLine = 16 << 10 // bytes
)

// File is a configuration file as text. The zero File is empty.
type File struct {
	lines []line
}

// line is one line with its end; section is set on headers, key on entries.
type line struct {
	text    string
	section string // of a header: its name; of an entry: where it stands
	key     string
	value   string
}

// Entry is one `key = value`.
type Entry struct {
	Section, Key, Value string
	Line                int // from 1
}

var (
	sectionSyntax = regexp.MustCompile(`^[a-z0-9_]{1,100}(\{[a-z0-9_]{1,100}\})?$`)
	keySyntax     = regexp.MustCompile(`^[a-z0-9_]{1,100}$`)
)

const byteOrderMark = "\uFEFF"

// Parse reads a file. All mistakes of form are in the error, each a [*Problem]
// with its line. Whether sections and keys are known is [Load]'s business.
func Parse(r io.Reader) (*File, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	if len(data) > MaxFile {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot use configuration: more than %d bytes", MaxFile)
	}
	f := &File{}
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, &Problem{Layer: FromFile, Line: len(f.lines) + 1, Text: fmt.Sprintf(format, args...)})
	}
	section := ""
	type name struct{ section, key string }
	seen := map[name]int{}
	for text := range strings.Lines(string(data)) {
		l := line{text: text}
		body := text
		if len(f.lines) == 0 {
			body = strings.TrimPrefix(body, byteOrderMark)
		}
		body = strings.Trim(body, " \t\r\n")
		switch {
		case len(text) > MaxLine:
			bad("longer than %d bytes", MaxLine)
		case !clean(body):
			bad("holds a control character or is not UTF-8")
		case body == "" || body[0] == '#' || body[0] == ';':
		case body[0] == '[':
			section = strings.TrimSuffix(body[1:], "]")
			switch at, twice := seen[name{section, ""}]; {
			case !strings.HasSuffix(body, "]") || !sectionSyntax.MatchString(section):
				bad("%q is not a section such as [global] or [event_timer{cache_ready}], in lower case", body)
			case twice:
				bad("section [%s] stands already in line %d", section, at)
			default:
				seen[name{section, ""}] = len(f.lines) + 1
			}
			l.section = section
		default:
			key, value, isEntry := strings.Cut(body, "=")
			key, value = strings.TrimRight(key, " \t"), strings.TrimLeft(value, " \t")
			switch at, twice := seen[name{section, key}]; {
			case !isEntry:
				bad("%q is neither [section] nor key = value nor # comment", body)
			case !keySyntax.MatchString(key):
				bad("%q is not a key: letters a-z, digits and _", key)
			case section == "":
				bad("%s stands before the first [section]", key)
			case twice:
				bad("%s stands already in line %d", key, at)
			default:
				seen[name{section, key}] = len(f.lines) + 1
			}
			l.section, l.key, l.value = section, key, value
		}
		f.lines = append(f.lines, l)
	}
	if len(problems) > 0 {
		return nil, fleet.Errorf(fleet.Invalid, "%w", errors.Join(problems...))
	}
	return f, nil
}

func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// Bytes prints the file: what was read, with the values that were set.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	for _, l := range f.lines {
		b.WriteString(l.text)
	}
	return b.Bytes()
}

// Entries goes through the file from top to bottom.
func (f *File) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i, l := range f.lines {
			if l.key != "" && !yield(Entry{l.section, l.key, l.value, i + 1}) {
				return
			}
		}
	}
}

// Sections lists the sections with the lines of their headers.
func (f *File) Sections() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for i, l := range f.lines {
			if l.section != "" && l.key == "" && !yield(l.section, i+1) {
				return
			}
		}
	}
}

// Get finds an entry.
func (f *File) Get(section, key string) (Entry, bool) {
	for e := range f.Entries() {
		if e.Section == section && e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Set gives a key a value, in its line if it has one, else after the last entry
// of its section, else in a new section at the end. It checks the form, not
// whether the key is known.
func (f *File) Set(section, key, value string) error {
	if !sectionSyntax.MatchString(section) || !keySyntax.MatchString(key) {
		return fleet.Errorf(fleet.Invalid, "cannot set [%s] %s: not the name of a section and a key", section, key)
	}
	if strings.Trim(value, " \t") != value || !clean(value) || len(value) > MaxLine/2 {
		return fleet.Errorf(fleet.Invalid, "cannot set [%s] %s: a value is one line without blanks around it, at most %d bytes", section, key, MaxLine/2)
	}
	end, last := f.lineEnd(), -1
	for i := range f.lines {
		l := &f.lines[i]
		if l.section != section {
			continue
		}
		last = i
		if l.key == key {
			if l.value != value {
				l.text, l.value = replaceValue(l.text, value), value
			}
			return nil
		}
	}
	entry := line{text: key + " = " + value + end, section: section, key: key, value: value}
	if n := len(f.lines); n > 0 && (last < 0 || last == n-1) && !strings.HasSuffix(f.lines[n-1].text, "\n") {
		f.lines[n-1].text += end
	}
	if last >= 0 {
		f.lines = slices.Insert(f.lines, last+1, entry)
		return nil
	}
	if len(f.lines) > 0 {
		f.lines = append(f.lines, line{text: end})
	}
	f.lines = append(f.lines, line{text: "[" + section + "]" + end, section: section}, entry)
	return nil
}

// Unset removes a key's line and tells whether there was one.
func (f *File) Unset(section, key string) bool {
	n := len(f.lines)
	f.lines = slices.DeleteFunc(f.lines, func(l line) bool { return l.section == section && l.key == key && key != "" })
	return len(f.lines) < n
}

// lineEnd is the file's own: Windows editors leave \r\n.
func (f *File) lineEnd() string {
	if len(f.lines) > 0 && strings.HasSuffix(f.lines[0].text, "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// replaceValue keeps everything of a line but its value.
func replaceValue(text, value string) string {
	head, rest, _ := strings.Cut(text, "=")
	body := strings.TrimRight(rest, "\r\n")
	end := rest[len(body):]
	blanks := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
	switch {
	case value == "":
		blanks = ""
	case strings.Trim(body, " \t") == "":
		blanks = " " // there was no value to take them from
	}
	return head + "=" + blanks + value + end
}
