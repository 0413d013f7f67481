// Package strictconf reads a TOML file into one typed struct and takes nothing
// that the struct does not declare.
//
// A mistyped key that is silently ignored is a default that nobody chose, so an
// unknown key is an error with file, line and the nearest right key. All that
// is wrong is said at once: the check command and the daemon share this loader,
// and nobody should have to start a server six times to find six mistakes.
//
// The struct is the schema: fields carry `toml:"name"` tags, hold the defaults
// before the call, and keep them unless the file is right as a whole. A leaf
// with rules of its own (a duration, an address) is a type with UnmarshalText.
// Rules between fields are the caller's, after Load.
package strictconf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// ErrMissing is in the chain of [Load]'s error when there is no such file, so
// that a program may run on defaults then, and only then.
var ErrMissing = errors.New("no such file")

// maxSize bounds a configuration file, in bytes; more is a wrong path.
const maxSize = 1 << 20

// Problem is one thing that is wrong in a configuration.
type Problem struct {
	File string
	Line int    // from 1; 0 when the parser named none
	Key  string // dotted; empty for a syntax error
	Text string
}

// String is "file:line: text".
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Error is everything that is wrong in one configuration, ordered by line.
type Error struct {
	Problems []Problem
}

// Error has a line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the file at path into cfg; see [Parse]. A file that is not there
// is [ErrMissing].
func Load[T any](path string, cfg *T) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read configuration %s: %w", path, ErrMissing)
	}
	if err != nil {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	if len(data) > maxSize {
		return fmt.Errorf("cannot read configuration %s: it has more than %d bytes", path, maxSize)
	}
	return Parse(path, data, cfg)
}

// Parse reads TOML text into the struct at cfg; name stands for the file in
// messages. What is wrong comes back as one *[Error], and cfg is then as it was
// before. All unknown keys and all values of a wrong kind are found; a syntax
// error hides the rest.
func Parse[T any](name string, data []byte, cfg *T) error {
	problems := check(data, reflect.TypeFor[T]())
	if len(problems) == 0 {
		if err := decode(data, cfg); err != nil {
			return fmt.Errorf("cannot read configuration %s: %w", name, err)
		}
		return nil
	}
	for i := range problems {
		problems[i].File = name
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{Problems: problems}
}

// check decodes into fresh values until nothing new is found. The decoder stops
// at the first value of a wrong kind, and names unknown keys only if there is
// none; so each wrong value is noted, its place made to take anything, and the
// text decoded again.
func check(data []byte, schema reflect.Type) []Problem {
	var problems []Problem
	shape := schema
	for {
		err := decode(data, reflect.New(shape).Interface())
		if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			for i := range unknown.Errors {
				problems = append(problems, unknownKey(&unknown.Errors[i], schema))
			}
			return problems
		}
		if err == nil {
			return problems
		}
		wrong, ok := errors.AsType[*toml.DecodeError](err)
		if !ok {
			return append(problems, Problem{Text: strings.TrimPrefix(err.Error(), "toml: ")})
		}
		line, _ := wrong.Position()
		text := strings.TrimPrefix(wrong.Error(), "toml: ")
		if len(wrong.Key()) == 0 {
			return append(problems, Problem{Line: line, Text: text}) // syntax
		}
		key := strings.Join(wrong.Key(), ".")
		problem := Problem{Line: line, Key: key, Text: key + ": " + text}
		if slices.Contains(problems, problem) {
			return problems // not a matter of the value's kind, e.g. a key given twice
		}
		problems = append(problems, problem)
		looser, ok := loosen(shape, wrong.Key())
		if !ok {
			return problems
		}
		shape = looser
	}
}

func decode(data []byte, into any) error {
	return toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(into)
}

func unknownKey(e *toml.DecodeError, schema reflect.Type) Problem {
	line, _ := e.Position()
	key := e.Key()
	// The key may be wrong in an inner part: [servre.tls] fails as a whole.
	for i, part := range key {
		inside := at(schema, key[:i])
		if inside != nil && inside.Kind() == reflect.Map && i < len(key)-1 {
			continue // takes any name
		}
		known := keys(inside)
		if i == len(key)-1 || !slices.Contains(known, part) {
			return Problem{
				Line: line,
				Key:  strings.Join(key, "."),
				Text: fmt.Sprintf("unknown key %q%s", strings.Join(key, "."), phrase(key[:i], part, known)),
			}
		}
	}
	return Problem{Line: line, Text: "unknown key"}
}

// phrase suggests the whole key, since that is what has to be typed.
func phrase(prefix []string, part string, known []string) string {
	right, ok := nearest.Suggest(part, known)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", strings.Join(append(slices.Clone(prefix), right), "."))
}
