package conf

import (
	"bytes"
	"cmp"
	_ "embed" // for the built-in text
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

//go:embed default.conf
var defaultText []byte

// Default is the built-in text, a copy that may be changed.
func Default() *File {
	f, err := Parse(bytes.NewReader(defaultText))
	if err != nil {
		panic("internal error: built-in configuration: " + err.Error())
	}
	return f
}

// parameterPrefix begins the host parameters that are meant for the agent.
const parameterPrefix = "opsiclientd."

// name is a key in its section.
type name struct{ section, key string }

func compareNames(a, b name) int {
	return cmp.Or(strings.Compare(a.section, b.section), strings.Compare(a.key, b.key))
}

// origin is a value in one layer.
type origin struct {
	value string
	layer Layer
	line  int
}

// Settings are the values that count, after all layers.
type Settings struct {
	values  map[name][]origin // the last one counts
	headers map[string]origin // of sections in the built-in text and the file
	refused []*Problem
	events  []EventConfig
}

// Load is [LoadSigned] without signed files.
func Load(file *File, params map[fleet.ConfigID][]any) (*Settings, error) {
	return LoadSigned(file, nil, params)
}

// LoadSigned lays the file over the built-in text, the signed files over both, in
// their order, and the host parameters over all.
// A nil file is an empty one. params are the client's host parameters, values
// as [fleet.ConfigState] holds them; those that do not begin with "opsiclientd."
// are of no concern here. The error holds every mistake of the file, each a
// [*Problem]; refused parts of signed files and refused host parameters are in
// [Settings.Refused].
func LoadSigned(file *File, signed []Signed, params map[fleet.ConfigID][]any) (*Settings, error) {
	s := &Settings{values: map[name][]origin{}, headers: map[string]origin{}}
	var problems []*Problem
	lay := func(f *File, layer Layer) {
		for section, line := range f.Sections() {
			if !knownSection(section) {
				problems = append(problems, &Problem{Layer: layer, Line: line, Section: section, Text: unknownSection(section).Error()})
				continue
			}
			s.headers[section] = origin{layer: layer, line: line}
		}
		for e := range f.Entries() {
			if !knownSection(e.Section) {
				continue
			}
			if _, err := find(e.Section, e.Key); err != nil {
				problems = append(problems, &Problem{layer, e.Line, e.Section, e.Key, err.Error()})
				continue
			}
			s.set(name{e.Section, e.Key}, origin{e.Value, layer, e.Line})
		}
	}
	lay(Default(), BuiltIn)
	if file != nil {
		lay(file, FromFile)
	}
	problems = append(problems, s.check()...)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
		var errs []error
		for _, p := range problems {
			errs = append(errs, p)
		}
		return nil, fleet.Errorf(fleet.Invalid, "%w", errors.Join(errs...))
	}
	for _, f := range signed {
		s.laySigned(f)
	}
	s.layParameters(params)
	s.events, _ = s.resolve()
	return s, nil
}

func (s *Settings) set(n name, o origin) { s.values[n] = append(s.values[n], o) }

// check finds all mistakes in the values and in what they make together.
// Tunnels are the names that sections tunnel_NAME have.
func (s *Settings) Tunnels() (names []string) {
	for _, section := range s.sections(tunnelPrefix) {
		names = append(names, strings.TrimPrefix(section, tunnelPrefix))
	}
	return names
}

const tunnelPrefix = "tunnel_"

func (s *Settings) check() []*Problem {
	var problems []*Problem
	for _, n := range s.names() {
		if p := s.checkValue(n); p != nil {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	_, problems = s.resolve()
	return problems
}

// checkValue checks the value that counts; nil is right.
func (s *Settings) checkValue(n name) *Problem {
	key, err := find(n.section, n.key)
	if err == nil {
		var value string
		if value, err = s.expand(n, s.raw(n), nil); err == nil {
			err = key.check(value)
		}
	}
	if err == nil {
		return nil
	}
	return s.problem(n, err.Error())
}

// problem is a mistake at the value that counts.
func (s *Settings) problem(n name, text string) *Problem {
	p := &Problem{Section: n.section, Key: n.key, Text: text}
	if all := s.values[n]; len(all) > 0 {
		p.Layer, p.Line = all[len(all)-1].layer, all[len(all)-1].line
	}
	return p
}

// names lists all keys that some layer gives, in a fixed order.
func (s *Settings) names() []name {
	return slices.SortedFunc(maps.Keys(s.values), compareNames)
}

// raw is the value that counts, without inheritance and placeholders.
func (s *Settings) raw(n name) string {
	if all := s.values[n]; len(all) > 0 {
		return all[len(all)-1].value
	}
	if key, err := find(n.section, n.key); err == nil {
		return key.Default
	}
	return ""
}

// Limits of placeholders: how many a value may hold, and how deep.
const (
	maxPlaceholders = 16
	maxNested       = 4
)

var placeholder = regexp.MustCompile(`%[a-z0-9_]+\.[a-z0-9_]+%`)

// expand replaces placeholders; via holds the keys on the way, to notice a
// value that contains itself.
func (s *Settings) expand(n name, value string, via []name) (string, error) {
	if slices.Contains(via, n) {
		return "", fmt.Errorf("%%%s.%s%% contains itself", n.section, n.key)
	}
	via = append(via, n)
	if len(via) > maxNested || len(placeholder.FindAllStringIndex(value, maxPlaceholders+1)) > maxPlaceholders {
		return "", fmt.Errorf("too many placeholders")
	}
	var problem error
	out := placeholder.ReplaceAllStringFunc(value, func(word string) string {
		section, key, _ := strings.Cut(strings.Trim(word, "%"), ".")
		inner := name{section, key}
		if _, err := find(section, key); err != nil {
			problem = errors.Join(problem, fmt.Errorf("%s: %w", word, err))
			return word
		}
		text, err := s.expand(inner, s.raw(inner), via)
		problem = errors.Join(problem, err)
		return text
	})
	if len(out) > MaxLine && problem == nil {
		problem = fmt.Errorf("longer than %d bytes", MaxLine)
	}
	return out, problem
}
