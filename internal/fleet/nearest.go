package fleet

import "fmt"

// DidYouMean is the end of a message about a wrong word, or nothing. Words that
// differ in more than a third of their letters are not worth naming.
func DidYouMean(given string, words []string) string {
	best, bound := "", 0
	for _, w := range words {
		if d := distance(given, w); d <= (max(len(given), len(w))+1)/3 && (best == "" || d < bound) {
			best, bound = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour; words that are longer than any of ours are far from all of them.
func distance(a, b string) int {
	if len(a) > 100 {
		return len(a)
	}
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
