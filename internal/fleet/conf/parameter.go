package conf

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxParameters bounds what a server may make the agent check.
const maxParameters = 256

// layParameters lays the host parameters over the file. Those that are right
// only together (a new event's type and its interval) are accepted together,
// and one that makes no sense costs none of the others.
func (s *Settings) layParameters(params map[fleet.ConfigID][]any) {
	given := map[name]origin{}
	for _, id := range slices.Sorted(maps.Keys(params)) {
		rest, ours := strings.CutPrefix(string(id), parameterPrefix)
		if !ours {
			continue
		}
		// The seed writes the braces of a variant with a backslash before each.
		rest = strings.ReplaceAll(rest, `\`, "")
		n := name{section: rest}
		if dot := strings.LastIndexByte(rest, '.'); dot >= 0 {
			n = name{rest[:dot], rest[dot+1:]}
		}
		if idle(n, params[id]) {
			continue
		}
		value, err := parameterValue(n, params[id])
		if err == nil && len(given) >= maxParameters {
			err = fmt.Errorf("is one more than the %d that are read", maxParameters)
		}
		if err != nil {
			s.refuse(n, origin{layer: FromParameter}, err.Error())
			continue
		}
		given[n] = origin{value, FromParameter, 0}
	}
	s.accept(given)
}

// idle tells of host parameters that every server has for opsi's own client, and that
// change nothing here, so that nobody is warned of what he did not set: this agent keeps
// no certificates of the system, cuts logs by itself, and always verifies its server. Not
// to verify it is refused, and said.
func idle(n name, values []any) bool {
	switch n {
	case name{"global", "install_opsi_ca_into_os_store"}, name{"global", "max_log_transfer_size"}:
		return true
	case name{"global", "verify_server_cert"}:
		return len(values) == 1 && fmt.Sprint(values[0]) == "true"
	}
	return false
}

// accept lays values over those before, but for those that make no sense.
func (s *Settings) accept(given map[name]origin) {
	pending := slices.SortedFunc(maps.Keys(given), compareNames)
	if s.try(pending, given) == nil {
		return
	}
	// Something is wrong: find it, first section by section. Twice, because one
	// may need another that comes later.
	for range 2 {
		var left []name
		for section := range chunkBySection(pending) {
			if s.try(section, given) != nil {
				left = append(left, section...)
			}
		}
		pending = left
	}
	for range 2 {
		pending = slices.DeleteFunc(pending, func(n name) bool { return s.try([]name{n}, given) == nil })
	}
	for _, n := range pending {
		s.refuse(n, given[n], s.try([]name{n}, given).Text)
	}
}

func chunkBySection(sorted []name) iter.Seq[[]name] {
	return func(yield func([]name) bool) {
		for len(sorted) > 0 {
			n := 1
			for n < len(sorted) && sorted[n].section == sorted[0].section {
				n++
			}
			if !yield(sorted[:n:n]) {
				return
			}
			sorted = sorted[n:]
		}
	}
}

// try lays values on top, and takes them off again if they are a mistake.
func (s *Settings) try(names []name, given map[name]origin) *Problem {
	for _, n := range names {
		s.set(n, given[n])
	}
	problems := s.check()
	if len(problems) == 0 {
		return nil
	}
	for _, n := range names {
		s.values[n] = s.values[n][:len(s.values[n])-1]
		if len(s.values[n]) == 0 {
			delete(s.values, n)
		}
	}
	return problems[0]
}

// parameterValue turns a host parameter's values into a key's text.
func parameterValue(n name, values []any) (string, error) {
	if !sectionSyntax.MatchString(n.section) || !keySyntax.MatchString(n.key) {
		return "", fmt.Errorf("wants %s<section>.<key>", parameterPrefix)
	}
	key, err := find(n.section, n.key)
	if err != nil {
		return "", err
	}
	if key.Class != Data {
		return "", fmt.Errorf("is of class %s: only the machine's own file and a signed one may set it", key.Class)
	}
	var parts []string
	for _, v := range values {
		parts = append(parts, fmt.Sprint(v))
	}
	if len(parts) != 1 && key.Kind != List {
		return "", fmt.Errorf("has %d values, not one", len(parts))
	}
	text := strings.TrimSpace(strings.Join(parts, ","))
	if !clean(text) || len(text) > MaxLine {
		return "", fmt.Errorf("is not one line of at most %d bytes", MaxLine)
	}
	return text, nil
}

func (s *Settings) refuse(n name, from origin, text string) {
	s.refused = append(s.refused, &Problem{Layer: from.layer, Line: from.line, Section: n.section, Key: n.key, Text: text})
}

// Refused lists what of the signed files and the host parameters does not count,
// and why.
func (s *Settings) Refused() []*Problem {
	return slices.SortedFunc(slices.Values(s.refused), func(a, b *Problem) int { return strings.Compare(a.Error(), b.Error()) })
}
