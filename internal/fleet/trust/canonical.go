package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of a document's text. The size in bytes is a role's own.
const (
	maxDepth  = 12
	maxNumber = 1<<53 - 1 // what every reader of JSON holds exactly
)

// canonical parses text that is in the canonical form of JSON that TUF signs
// (securesystemslib's): no blank outside strings, keys in the order of their
// bytes and each once, whole numbers, and in strings no escape but \" and \\.
// Control characters, which that form would carry raw, are refused. So a text
// that parses is what [appendCanonical] prints of the value.
func canonical(data []byte) (map[string]any, error) {
	p := &parser{text: data}
	v, err := p.value(0)
	if err == nil && p.at != len(data) {
		err = errors.New("more follows after the end")
	}
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", p.at, err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	return object, nil
}

type parser struct {
	text []byte
	at   int
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) take(word string) bool {
	if bytes.HasPrefix(p.text[p.at:], []byte(word)) {
		p.at += len(word)
		return true
	}
	return false
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.str()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.take("true"):
		return true, nil
	case p.take("false"):
		return false, nil
	case p.take("null"):
		return nil, nil
	}
	return nil, errors.New("want a value in canonical JSON")
}

func (p *parser) object(depth int) (any, error) {
	p.at++
	object := map[string]any{}
	if p.take("}") {
		return object, nil
	}
	for last := ""; ; {
		if p.peek() != '"' {
			return nil, errors.New("want a key")
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if len(object) > 0 && key <= last {
			return nil, fmt.Errorf("the key %q is not in order, or there twice", clip(key))
		}
		if !p.take(":") {
			return nil, errors.New("want a colon")
		}
		if object[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if last = key; p.take("}") {
			return object, nil
		}
		if !p.take(",") {
			return nil, errors.New("want a comma or a closing brace")
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	p.at++
	list := []any{}
	if p.take("]") {
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if list = append(list, v); p.take("]") {
			return list, nil
		}
		if !p.take(",") {
			return nil, errors.New("want a comma or a closing bracket")
		}
	}
}

func (p *parser) str() (string, error) {
	p.at++
	var b strings.Builder
	for start := p.at; ; {
		switch c := p.peek(); {
		case p.at >= len(p.text):
			return "", errors.New("a string has no end")
		case c == '"':
			b.Write(p.text[start:p.at])
			p.at++
			if s := b.String(); utf8.ValidString(s) {
				return s, nil
			}
			return "", errors.New("a string is not UTF-8")
		case c == '\\':
			b.Write(p.text[start:p.at])
			if p.at++; p.peek() != '"' && p.peek() != '\\' {
				return "", errors.New("an escape that the canonical form does not have")
			}
			start = p.at
			p.at++
		case c < 0x20 || c == 0x7f:
			return "", errors.New("a control character in a string")
		default:
			p.at++
		}
	}
}

func (p *parser) number() (any, error) {
	end := p.at
	for end < len(p.text) && strings.IndexByte("+-.0123456789eE", p.text[end]) >= 0 {
		end++
	}
	text := string(p.text[p.at:end])
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxNumber || n < -maxNumber || strconv.FormatInt(n, 10) != text {
		return nil, fmt.Errorf("%q is not a whole number of at most 53 bits in its shortest form", clip(text))
	}
	p.at = end
	return n, nil
}

// appendCanonical prints what canonical parses. It takes what that gives:
// objects, lists, strings, int64, bool and nil.
func appendCanonical(b []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		if v > maxNumber || v < -maxNumber {
			return nil, fmt.Errorf("the number %d has more than 53 bits", v)
		}
		return strconv.AppendInt(b, v, 10), nil
	case string:
		return appendString(b, v)
	case json.RawMessage:
		return append(b, v...), nil
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendCanonical(b, e); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendString(b, key); err != nil {
				return nil, err
			}
			if b, err = appendCanonical(append(b, ':'), v[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return nil, fmt.Errorf("a %T has no canonical form", v)
}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, fmt.Errorf("%q has no canonical form: it is not UTF-8, or holds control characters", clip(s))
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"'), nil
}

// clip keeps a text of others short enough for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
