// Package nearest finds the right word for a mistyped one, so that a refused
// option, key or method can name the one that was probably meant.
//
// The measure is the restricted Damerau-Levenshtein distance (insertion,
// deletion, substitution, exchange of neighbours) without regard to case. At
// most about a third of the longer word may differ: beyond that a suggestion
// is more often noise than help.
package nearest

import (
	"fmt"
	"strings"
)

// longest bounds the words compared, in runes; the cost is quadratic and the
// wrong word may come from another machine. No name of ours comes near it.
const longest = 100

// Suggest returns the candidate nearest to word, and whether any is near
// enough. Of equally near ones the first wins.
func Suggest(word string, candidates []string) (string, bool) {
	// More bytes than this cannot be longest runes.
	if word == "" || len(word) > 4*longest {
		return "", false
	}
	w := []rune(strings.ToLower(word))
	best, found, bound := "", false, -1
	for _, candidate := range candidates {
		c := []rune(strings.ToLower(candidate))
		if len(w) > longest || len(c) > longest {
			continue
		}
		limit := (max(len(w), len(c)) + 1) / 3
		if found {
			limit = min(limit, bound-1)
		}
		if d := distance(w, c, limit); d <= limit {
			best, found, bound = candidate, true, d
		}
	}
	return best, found
}

// Phrase is [Suggest] as the tail of an error message: ` (did you mean "x"?)`,
// or nothing.
func Phrase(word string, candidates []string) string {
	if s, ok := Suggest(word, candidates); ok {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

// distance returns the edits between a and b, or something above limit when
// their lengths alone show that there are more.
func distance(a, b []rune, limit int) int {
	if diff := len(a) - len(b); diff > limit || -diff > limit {
		return limit + 1
	}
	// Three rows of the matrix: the one before last serves the exchange.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
