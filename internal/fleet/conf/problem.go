package conf

import (
	"fmt"
	"strings"
)

// Layer is where a value comes from.
type Layer string

// The layers, in the order in which they are laid over each other.
const (
	BuiltIn       Layer = "built-in"
	FromFile      Layer = "file"
	FromSigned    Layer = "signed file"
	FromParameter Layer = "host parameter"
)

// Problem is one mistake in the configuration.
type Problem struct {
	Layer        Layer
	Line         int // in the file or the built-in text; 0 for host parameters
	Section, Key string
	Text         string
}

func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Layer == FromParameter:
		return "host parameter " + strings.TrimSuffix(parameterPrefix+p.Section+"."+p.Key, ".") + ": " + p.Text
	case p.Layer == BuiltIn:
		b.WriteString("built-in ")
	case p.Layer == FromSigned:
		b.WriteString("signed configuration, ")
	}
	fmt.Fprintf(&b, "line %d: ", p.Line)
	if p.Section != "" {
		fmt.Fprintf(&b, "[%s] ", p.Section)
	}
	if p.Key != "" {
		fmt.Fprintf(&b, "%s: ", p.Key)
	}
	return b.String() + p.Text
}

// didYouMean is the end of a message about a wrong word, or nothing. Words that
// differ in more than a third of their letters are not worth naming.
func didYouMean(word string, words []string) string {
	best, bound := "", 0
	for _, w := range words {
		if d := distance(word, w); d <= (max(len(word), len(w))+1)/3 && (best == "" || d < bound) {
			best, bound = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour. Names are at most a few hundred bytes, so the square is cheap.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
