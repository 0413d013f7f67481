// Package where is the condition by which an administrator chooses hosts:
//
//	group = branch and last-seen < 30d
//	installed = firefox and product:firefox.version < 128.0 and not wan = on
//	depot in (depot1.example.org, depot2.example.org) or id = '*.lab.example.org'
//
// A condition is parsed once and then asked of each host. The package knows
// which facts there are and how they compare; whoever asks brings the facts.
//
// # Grammar
//
//	condition = conjunction { "or" conjunction }
//	conjunction = negation { "and" negation }
//	negation = [ "not" ] ( "(" condition ")" | comparison )
//	comparison = fact ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//	           | fact [ "not" ] "in" "(" value { "," value } ")"
//
// A value is a word, or text in single or double quotes, which ends at the next
// such quote. In texts upper and lower case are the same, and * stands for any
// text; "" is no value at all. Ages (last-seen, created) compare with a time such
// as 90m, 12h, 30d or 2w: "last-seen < 30d" is whoever was here within the last
// thirty days, and "last-seen = never" whoever was not here yet. Versions
// compare as [fleet.CompareVersions] orders them. A host without the fact is
// neither smaller nor greater than anything.
//
// What [Parse] takes, [Condition.String] prints so that it parses to the same.
package where

import (
	"strings"
	"time"
)

// Limits of a condition: it may come over the wire.
const (
	maxText  = 10_000 // bytes
	maxDepth = 50     // of parentheses and nots
)

// Never is the age of what has not happened.
const Never = time.Duration(-1)

// Facts is one host, as a condition asks about it.
type Facts interface {
	// Texts are the values of a text or version; a host may have several.
	Texts(Fact) []string
	// Age is how long ago something was, or Never.
	Age(Fact) time.Duration
}

// Condition is a parsed condition.
type Condition struct{ root node }

// Match tells whether a host meets the condition.
func (c *Condition) Match(f Facts) bool { return c.root.match(f) }

// Facts are the facts that the condition asks for, each once.
func (c *Condition) Facts() []Fact {
	var out []Fact
	seen := map[Fact]bool{}
	c.root.walk(func(f Fact) {
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	})
	return out
}

// String prints the condition in its shortest form.
func (c *Condition) String() string { return c.root.text(loose) }

// node is a part of a condition.
type node interface {
	match(Facts) bool
	walk(func(Fact))
	text(binding) string
}

// binding is how firmly the surroundings hold a part together.
type binding int

const (
	loose binding = iota
	inOr
	inAnd
	inNot
)

type (
	anyOf  []node
	allOf  []node
	negate struct{ node }
)

func (n anyOf) match(f Facts) bool {
	for _, part := range n {
		if part.match(f) {
			return true
		}
	}
	return false
}

func (n allOf) match(f Facts) bool {
	for _, part := range n {
		if !part.match(f) {
			return false
		}
	}
	return true
}

func (n negate) match(f Facts) bool { return !n.node.match(f) }

func (n anyOf) walk(tell func(Fact)) {
	for _, part := range n {
		part.walk(tell)
	}
}

func (n allOf) walk(tell func(Fact)) { anyOf(n).walk(tell) }

func (n anyOf) text(b binding) string  { return join(n, " or ", inOr, b) }
func (n allOf) text(b binding) string  { return join(n, " and ", inAnd, b) }
func (n negate) text(b binding) string { return "not " + n.node.text(inNot) }

func join(parts []node, word string, own, around binding) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.text(own)
	}
	s := strings.Join(texts, word)
	if around >= own {
		return "(" + s + ")"
	}
	return s
}
