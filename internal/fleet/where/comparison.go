package where

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// comparison is a fact beside one or more values.
type comparison struct {
	fact   Fact
	op     string // = < <= > >=; != is a negation
	values []string
	age    time.Duration // of a comparison of ages
}

func (c comparison) walk(tell func(Fact)) { tell(c.fact) }

func (c comparison) match(f Facts) bool {
	switch c.fact.known().Kind {
	case Age:
		return c.matchAge(f.Age(c.fact))
	case Version:
		if c.op != "=" {
			return c.matchVersion(f.Texts(c.fact))
		}
	}
	texts := f.Texts(c.fact)
	for _, want := range c.values {
		if want == "" && len(texts) == 0 {
			return true
		}
		for _, have := range texts {
			if fleet.Glob(strings.ToLower(want), strings.ToLower(have)) {
				return true
			}
		}
	}
	return false
}

func (c comparison) matchAge(age time.Duration) bool {
	if c.op == "=" || age == Never {
		return c.op == "=" && age == Never
	}
	return ordered(c.op, cmp.Compare(age, c.age))
}

func (c comparison) matchVersion(have []string) bool {
	for _, v := range have {
		want := c.values[0]
		if !strings.Contains(want, "-") { // the product's version only
			v, _, _ = strings.Cut(v, "-")
		}
		if ordered(c.op, fleet.CompareVersions(v, want)) {
			return true
		}
	}
	return false
}

func ordered(op string, compared int) bool {
	switch op {
	case "<":
		return compared < 0
	case "<=":
		return compared <= 0
	case ">":
		return compared > 0
	}
	return compared >= 0
}

// check refuses a comparison that means nothing.
func (c *comparison) check() error {
	kind := c.fact.known().Kind
	switch {
	case kind == Text && c.op != "=":
		return fmt.Errorf("%s is text: it is equal to something or not", c.fact)
	case kind == Age && c.op == "=":
		if len(c.values) != 1 || c.values[0] != "never" {
			return fmt.Errorf("%s is a time ago: compare it with < or >, or with = never", c.fact)
		}
	case kind == Age:
		var err error
		c.age, err = age(c.values[0])
		return err
	}
	return nil
}

var units = map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}

// age reads 90m, 12h, 30d or 2w.
func age(text string) (time.Duration, error) {
	if text != "" {
		unit := units[text[len(text)-1]]
		n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
		if unit != 0 && err == nil && n >= 0 && n <= int64(math.MaxInt64/unit) {
			return time.Duration(n) * unit, nil
		}
	}
	return 0, fmt.Errorf("%q is no time such as 90m, 12h, 30d or 2w", text)
}

func (c comparison) text(binding) string {
	values := make([]string, len(c.values))
	for i, v := range c.values {
		values[i] = quoted(v)
	}
	if len(values) > 1 {
		return c.fact.String() + " in (" + strings.Join(values, ", ") + ")"
	}
	return c.fact.String() + " " + c.op + " " + values[0]
}

// quoted is a value as it is written. It never holds both quotes: there is no
// way to write that.
func quoted(v string) string {
	if words, err := split(v); err == nil && len(words) == 1 && words[0].kind == word && !reserved[strings.ToLower(v)] {
		return v
	}
	if strings.Contains(v, "'") {
		return `"` + v + `"`
	}
	return "'" + v + "'"
}
