package where

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Parse reads a condition. The error names the place, and what is right there.
func Parse(text string) (*Condition, error) {
	if len(text) > maxText {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot read the condition: it is longer than %d bytes", maxText)
	}
	tokens, err := split(text)
	if err == nil {
		p := parser{tokens: tokens}
		var root node
		if root, err = p.disjunction(0); err == nil && p.next().kind != end {
			err = p.unexpected(`"and", "or" or the end`)
		}
		if err == nil {
			return &Condition{root}, nil
		}
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot read the condition %q: %w", text, err),
		"facts are %s; for example: group = branch and last-seen < 30d", strings.Join(Names(), ", "))
}

type kind int

const (
	end kind = iota
	word
	text
	sign // an operator, a parenthesis or a comma
)

type token struct {
	kind kind
	text string
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return fmt.Sprintf("%q", t.text)
}

// reserved words stand for themselves only in quotes.
var reserved = map[string]bool{"and": true, "or": true, "not": true, "in": true}

// split cuts a condition into tokens.
func split(s string) ([]token, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("it is no UTF-8 text")
	}
	var out []token
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case unicode.IsSpace(r):
			s = s[size:]
		case r == '\'' || r == '"':
			inside, rest, closed := strings.Cut(s[1:], string(r))
			if !closed {
				return nil, fmt.Errorf("the quote before %q is never closed", inside)
			}
			out, s = append(out, token{text, inside}), rest
		case strings.ContainsRune("()<>=!,", r):
			n := 1
			if strings.ContainsRune("<>!", r) && strings.HasPrefix(s[1:], "=") {
				n = 2
			}
			out, s = append(out, token{sign, s[:n]}), s[n:]
		default:
			n := strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`()<>=!,'"`, r) })
			if n < 0 {
				n = len(s)
			}
			out, s = append(out, token{word, s[:n]}), s[n:]
		}
	}
	return out, nil
}

type parser struct {
	tokens []token
	at     int
}

func (p *parser) next() token {
	if p.at == len(p.tokens) {
		return token{}
	}
	return p.tokens[p.at]
}

// take goes past a word or sign, if it is the next.
func (p *parser) take(k kind, s string) bool {
	if t := p.next(); t.kind != k || !strings.EqualFold(t.text, s) {
		return false
	}
	p.at++
	return true
}

func (p *parser) unexpected(wanted string) error {
	return fmt.Errorf("%s stands where %s should", p.next(), wanted)
}

func (p *parser) disjunction(depth int) (node, error) {
	var parts anyOf
	for {
		n, err := p.conjunction(depth)
		if err != nil {
			return nil, err
		}
		if inner, ok := n.(anyOf); ok {
			parts = append(parts, inner...)
		} else {
			parts = append(parts, n)
		}
		if !p.take(word, "or") {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

func (p *parser) conjunction(depth int) (node, error) {
	var parts allOf
	for {
		n, err := p.negation(depth)
		if err != nil {
			return nil, err
		}
		if inner, ok := n.(allOf); ok {
			parts = append(parts, inner...)
		} else {
			parts = append(parts, n)
		}
		if !p.take(word, "and") {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

func (p *parser) negation(depth int) (node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	if p.take(word, "not") {
		n, err := p.negation(depth + 1)
		return inverse(n), err
	}
	if !p.take(sign, "(") {
		return p.comparison()
	}
	n, err := p.disjunction(depth + 1)
	if err == nil && !p.take(sign, ")") {
		err = p.unexpected(`")"`)
	}
	return n, err
}

// inverse negates; what is negated twice is itself.
func inverse(n node) node {
	if twice, ok := n.(negate); ok {
		return twice.node
	}
	return negate{n}
}

func (p *parser) comparison() (node, error) {
	t := p.next()
	if t.kind != word || reserved[strings.ToLower(t.text)] {
		return nil, p.unexpected("a fact")
	}
	p.at++
	fact, err := parseFact(t.text)
	if err != nil {
		return nil, err
	}
	c := comparison{fact: fact, op: "="}
	not := p.take(word, "not")
	if p.take(word, "in") {
		c.values, err = p.list()
	} else if not {
		return nil, p.unexpected(`"in"`)
	} else {
		op := p.next()
		switch {
		case op.kind != sign || strings.ContainsAny(op.text, "(),") || op.text == "!":
			return nil, p.unexpected("=, !=, <, <=, >, >= or in")
		case op.text == "!=":
			not = true
		default:
			c.op = op.text
		}
		p.at++
		var v string
		v, err = p.value()
		c.values = []string{v}
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, err
	}
	if not {
		return negate{c}, nil
	}
	return c, nil
}

func (p *parser) value() (string, error) {
	t := p.next()
	if t.kind != text && (t.kind != word || reserved[strings.ToLower(t.text)]) {
		return "", p.unexpected("a value")
	}
	p.at++
	return t.text, nil
}

func (p *parser) list() ([]string, error) {
	if !p.take(sign, "(") {
		return nil, p.unexpected(`"("`)
	}
	var values []string
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if p.take(sign, ")") {
			return values, nil
		}
		if !p.take(sign, ",") {
			return nil, p.unexpected(`"," or ")"`)
		}
	}
}
