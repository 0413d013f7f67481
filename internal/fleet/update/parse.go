package update

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// version is the first key, and the only value that it has yet.
const version = "fernwerk-update"

// key is one line of the header.
type key struct {
	name     string
	required bool
	read     func(h *Header, value string) error
	print    func(h Header) string // "" is not printed
}

var keys = []key{
	{"number", true, func(h *Header, v string) (err error) { h.Number, err = Number(v); return err }, func(h Header) string { return Name(h.Number) }},
	{"id", true, func(h *Header, v string) error { h.ID = v; return ValidID(v) }, func(h Header) string { return h.ID }},
	{"title", true, func(h *Header, v string) error { h.Title = v; return validTitle(v) }, func(h Header) string { return h.Title }},
	{"suffix", false, func(h *Header, v string) error { h.Suffix = v; return oneOf(v, Suffixes[1:]...) }, func(h Header) string { return h.Suffix }},
	{"platforms", false, func(h *Header, v string) (err error) {
		h.Platforms, err = list(v, func(s string) error { return oneOf(s, Platforms...) })
		return err
	}, func(h Header) string { return strings.Join(h.Platforms, ", ") }},
	{"groups", false, func(h *Header, v string) (err error) { h.Groups, err = list(v, validGroup); return err },
		func(h Header) string { return strings.Join(h.Groups, ", ") }},
	{"node-types", false, func(h *Header, v string) (err error) { h.NodeTypes, err = list(v, validNodeType); return err },
		func(h Header) string { return strings.Join(h.NodeTypes, ", ") }},
	{"audience", true, func(h *Header, v string) error { h.Audience = v; return oneOf(v, Hosts, Feed, Both) }, func(h Header) string { return h.Audience }},
	{"after", false, readAfter, func(h Header) string { return names(h.After) }},
	{"timeout", true, func(h *Header, v string) (err error) { h.Timeout, err = readTime(v); return err }, func(h Header) string { return printTime(h.Timeout) }},
	{"on-failure", true, func(h *Header, v string) error { h.OnFailure = v; return oneOf(v, Stop, Continue) }, func(h Header) string { return h.OnFailure }},
	{"on-interrupt", true, func(h *Header, v string) error { h.OnInterrupt = v; return oneOf(v, Retry, Ask, Skip) }, func(h Header) string { return h.OnInterrupt }},
}

func keyNames() (all []string) {
	for _, k := range keys {
		all = append(all, k.name)
	}
	return all
}

// Parse reads an update. All mistakes are in the error, each a [*Problem].
func Parse(data []byte) (*File, error) {
	if len(data) > MaxFile {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot read update: it has %d bytes, more than %d", len(data), MaxFile)
	}
	f, problems := parse(string(data))
	if len(problems) > 0 {
		var errs []error
		for _, p := range problems {
			errs = append(errs, p)
		}
		return nil, fleet.Errorf(fleet.Invalid, "cannot read update: %w", errors.Join(errs...))
	}
	return f, nil
}

func parse(text string) (*File, []*Problem) {
	f, at := &File{}, 1
	line, rest := cut(text)
	if strings.HasPrefix(line, "#!") {
		f.Interpreter = line
		line, rest = cut(rest)
		at = 2
	}
	prefix, found := "# ", line == "# "+version+": 1"
	if !found {
		prefix, found = "rem ", line == "rem "+version+": 1" && f.Interpreter == ""
	}
	if !found {
		text := fmt.Sprintf("%q is not the beginning of an update: it is \"# %s: 1\", in the first line or after \"#!\"", shorten(line), version)
		if strings.HasSuffix(line, "\r") {
			text = "lines end with a line feed only, without a carriage return"
		}
		return nil, []*Problem{{at, text}}
	}
	var problems []*Problem
	bad := func(line int, format string, args ...any) {
		problems = append(problems, &Problem{line, fmt.Sprintf(format, args...)})
	}
	last := -1
	seen := map[string]int{}
	for {
		at++
		if rest == "" {
			bad(at, "the header does not end: an empty line comes before the script")
			break
		}
		line, rest = cut(rest)
		if line == "" {
			break
		}
		if len(problems) > len(keys) || len(line) > maxLine {
			bad(at, "this is no header: its lines are few, and at most %d bytes long", maxLine)
			break
		}
		entry, ok := strings.CutPrefix(line, prefix)
		name, value, pair := strings.Cut(entry, ": ")
		if !ok || !pair || !clean(line) {
			bad(at, "%q is not %q; the header ends with an empty line", shorten(line), prefix+"key: value")
			continue
		}
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		switch {
		case i < 0:
			bad(at, "the header has no key %q%s", shorten(name), fleet.DidYouMean(name, keyNames()))
			continue
		case seen[name] > 0:
			bad(at, "%s stands already in line %d", name, seen[name])
			continue
		case i < last:
			bad(at, "%s comes before %s", name, keys[last].name)
		}
		last, seen[name] = max(last, i), at
		if err := keys[i].read(&f.Header, value); err != nil {
			bad(at, "%s: %v", name, err)
		} else if canonical := keys[i].print(f.Header); canonical != value {
			bad(at, "%s: write %q, not %q", name, canonical, shorten(value))
		}
	}
	for _, k := range keys {
		if k.required && seen[k.name] == 0 {
			bad(at, "%s is missing", k.name)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if wrong := (prefix == "rem ") != f.batch(); wrong {
		bad(at, "a header with \"rem \" belongs to suffix .cmd or .bat, and such a script has no other")
	}
	if seen["after"] > 0 {
		for _, n := range f.After {
			if n >= f.Number {
				bad(seen["after"], "after: %s is not before %s: updates run in the order of their numbers", Name(n), Name(f.Number))
			}
		}
	}
	f.Body = rest
	if strings.TrimSpace(rest) == "" {
		bad(at+1, "there is no script after the header")
	}
	return f, problems
}

// cut takes the first line.
func cut(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return line, rest
}

// Text is the header as it stands in the file, with the empty line.
func (h Header) Text() string {
	prefix := "# "
	if h.batch() {
		prefix = "rem "
	}
	var b strings.Builder
	b.WriteString(prefix + version + ": 1\n")
	for _, k := range keys {
		if v := k.print(h); v != "" {
			b.WriteString(prefix + k.name + ": " + v + "\n")
		}
	}
	return b.String() + "\n"
}

// Bytes is the whole file.
func (f *File) Bytes() []byte {
	first := ""
	if f.Interpreter != "" {
		first = f.Interpreter + "\n"
	}
	return []byte(first + f.Header.Text() + f.Body)
}

func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

func validTitle(v string) error {
	if v == "" || len(v) > 200 || strings.TrimSpace(v) != v {
		return errors.New("a title has 1 to 200 bytes, without blanks around it")
	}
	return nil
}

var groupSyntax = regexp.MustCompile(`^[^\x00-\x1f\x7f/\\;,]{1,255}$`)

func validGroup(v string) error {
	if !groupSyntax.MatchString(v) || strings.TrimSpace(v) != v {
		return fmt.Errorf("%q is not a host group that an update can name", shorten(v))
	}
	return nil
}

func validNodeType(v string) error {
	if !word.MatchString(v) {
		return fmt.Errorf("%q is not a node type", shorten(v))
	}
	return nil
}

// list reads names with ", " between them, sorted, each once.
func list(v string, valid func(string) error) (all []string, err error) {
	for name := range strings.SplitSeq(v, ",") {
		name = strings.TrimSpace(name)
		if err := valid(name); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	if len(all) > maxList {
		return nil, fmt.Errorf("more than %d names", maxList)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func readAfter(h *Header, v string) error {
	all, err := list(v, func(s string) error { _, err := Number(s); return err })
	for _, s := range all {
		n, _ := Number(s)
		h.After = append(h.After, n)
	}
	return err
}

func names(numbers []int) string {
	all := make([]string, len(numbers))
	for i, n := range numbers {
		all[i] = Name(n)
	}
	return strings.Join(all, ", ")
}

var units = []struct {
	letter string
	is     time.Duration
}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

func readTime(v string) (time.Duration, error) {
	for _, u := range units {
		if n, err := strconv.Atoi(strings.TrimSuffix(v, u.letter)); err == nil && strings.HasSuffix(v, u.letter) && n > 0 && n <= int(MaxTimeout/u.is) {
			return time.Duration(n) * u.is, nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 30s, 10m or 2h, up to 24h", shorten(v))
}

// ReadTime reads a time as the header has it.
func ReadTime(v string) (time.Duration, error) { return readTime(v) }

func printTime(d time.Duration) string {
	for _, u := range units {
		if d >= u.is && d%u.is == 0 {
			return strconv.Itoa(int(d/u.is)) + u.letter
		}
	}
	return ""
}
