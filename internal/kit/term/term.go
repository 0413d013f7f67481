// Package term is how our commands speak to people.
//
// The rules: what was asked for goes to stdout and may be piped; progress,
// hints and errors go to stderr. Nothing here uses colours or escape sequences,
// so there is nothing to switch off for a file, an old Windows console or a
// screen reader; a progress line is redrawn with a carriage return and blanks.
// Text that came from another machine (a host's description, a product's
// advice, a log line) passes [Clean] before it reaches a terminal, because a
// terminal obeys control characters.
//
// Sizes are decimal: 1 kB is 1000 bytes. Lines are sold and shaped in decimal
// bits, and a person must be able to divide 133 MB by 2.5 MB/s and get the
// seconds. Code and protocol that mean powers of two write KiB.
package term

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// IsTerminal reports whether w is a terminal that a person looks at.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is the number of columns of the terminal w, or 80.
func width(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// Bytes writes a size for people: "999 B", "1.0 kB", "133 MB", "2.5 GB". Three
// digits at most.
func Bytes(n int64) string {
	if -1000 < n && n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	value := float64(n) / 1000
	for math.Abs(value) >= 999.5 {
		value /= 1000
		units = units[1:] // 2^63 is 9.2 EB
	}
	if math.Abs(value) < 9.95 {
		return fmt.Sprintf("%.1f %s", value, units[0])
	}
	return fmt.Sprintf("%.0f %s", value, units[0])
}

// Duration writes a time for people, to two units: "0.4s", "53s", "3m05s",
// "2h10m", "3d04h".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-max(d, -math.MaxInt64))
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d.Round(time.Second) < time.Minute:
		return fmt.Sprintf("%ds", int(d.Round(time.Second).Seconds()))
	case d.Round(time.Second) < time.Hour:
		s := int(d.Round(time.Second).Seconds())
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case d.Round(time.Minute) < 24*time.Hour:
		m := int(d.Round(time.Minute).Minutes())
		return fmt.Sprintf("%dh%02dm", m/60, m%60)
	}
	h := int(d.Round(time.Hour).Hours())
	return fmt.Sprintf("%dd%02dh", h/24, h%24)
}

// Clean makes s safe to print: control characters (also ESC, the start of every
// escape sequence), line ends, bidirectional overrides and broken UTF-8 come
// out as visible Go escapes. Text without them is returned as it is.
func Clean(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unsafe) {
		var b strings.Builder
		for i := 0; i < len(s); {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				fmt.Fprintf(&b, `\x%02x`, s[i])
			case r == '\n':
				b.WriteString(`\n`)
			case r == '\t':
				b.WriteString(`\t`)
			case unsafe(r) && r < 0x80:
				fmt.Fprintf(&b, `\x%02x`, r)
			case unsafe(r):
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				b.WriteRune(r)
			}
			i += size
		}
		return b.String()
	}
	return s
}

// unsafe reports runes that change how the rest of a line is shown: controls
// (Cc), line and paragraph separators, and the marks that turn the direction of
// writing. Other format characters (Cf) join letters in real languages.
func unsafe(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return true
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\u061c':
		return true
	}
	return false
}
