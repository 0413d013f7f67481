package fleet

import (
	"cmp"
	"strings"
)

// CompareVersions orders two versions such as "4.3.10-2" as opsi does: digits
// as numbers, letters as text, part by part; more parts are newer.
func CompareVersions(a, b string) int {
	productA, packageA, _ := strings.Cut(a, "-")
	productB, packageB, _ := strings.Cut(b, "-")
	return cmp.Or(compareParts(productA, productB), compareParts(packageA, packageB))
}

func compareParts(a, b string) int {
	for a != "" && b != "" {
		var runA, runB string
		runA, a = cutRun(a)
		runB, b = cutRun(b)
		if isDigit(runA[0]) && isDigit(runB[0]) {
			runA, runB = strings.TrimLeft(runA, "0"), strings.TrimLeft(runB, "0")
			if c := cmp.Compare(len(runA), len(runB)); c != 0 {
				return c
			}
		}
		if c := cmp.Compare(runA, runB); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// cutRun takes the longest start of s that is only digits or only others.
func cutRun(s string) (run, rest string) {
	n := 1
	for n < len(s) && isDigit(s[n]) == isDigit(s[0]) {
		n++
	}
	return s[:n], s[n:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
