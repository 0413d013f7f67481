package manifest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const header = "fernwerk manifest 1"

// Limits bounds what a text may ask of its reader. A zero field means the
// default.
type Limits struct {
	Bytes   int64 // of the whole text; default 256 MiB
	Entries int   // default 1,000,000
	Path    int   // bytes of one path; default and most [MaxPath]
}

func (l Limits) orDefault() Limits {
	l.Bytes = cmp.Or(l.Bytes, 256<<20)
	l.Entries = cmp.Or(l.Entries, 1_000_000)
	l.Path = min(cmp.Or(l.Path, MaxPath), MaxPath)
	return l
}

// A SyntaxError says which line of a text is wrong.
type SyntaxError struct {
	Line int // counted from 1
	Err  error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads a manifest up to the end of r. What WriteTo would not have
// written is refused with a [*SyntaxError].
func Parse(r io.Reader, limits Limits) (*Manifest, error) {
	m, err := parse(r, limits.orDefault())
	if err != nil {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	return m, nil
}

func parse(r io.Reader, limits Limits) (*Manifest, error) {
	in := newLines(r, limits.Bytes)
	first, err := in.next()
	if err == io.EOF {
		err = &SyntaxError{1, errors.New("the text is empty")}
	}
	if err != nil {
		return nil, err
	}
	if first != header {
		return nil, in.fault(fmt.Errorf("the first line must be %q", header))
	}
	var t tree
	for {
		line, err := in.next()
		if err == io.EOF {
			return &t.m, nil
		}
		if err != nil {
			return nil, err
		}
		if len(t.m.Entries) == limits.Entries {
			return nil, in.fault(fmt.Errorf("more than %d entries", limits.Entries))
		}
		e, err := parseEntry(line)
		if err != nil {
			return nil, in.fault(err)
		}
		if len(e.Path) > limits.Path {
			return nil, in.fault(fmt.Errorf("the path is longer than %d bytes", limits.Path))
		}
		if err := t.add(e); err != nil {
			return nil, in.fault(err)
		}
	}
}

// parseEntry reads a line in the one form that appendEntry gives it.
func parseEntry(line string) (e Entry, err error) {
	if len(line) < 2 || line[1] != ' ' {
		return e, errors.New("want a type letter and a blank")
	}
	e.Type = Type(line[0])
	rest := line[2:]
	switch e.Type {
	case Dir, Link:
	case File, Exec:
		if e.Size, rest, err = cutSize(rest); err != nil {
			return e, err
		}
		sum, after, ok := strings.Cut(rest, " ")
		if !ok || !decodeHex(e.Sum[:], sum) {
			return e, errors.New("want a SHA-256 sum in lower-case hexadecimal")
		}
		rest = after
	default:
		return e, fmt.Errorf("unknown type letter %q", line[0])
	}
	if e.Path, rest, err = unquote(rest); err != nil {
		return e, err
	}
	if e.Type == Link {
		target, ok := strings.CutPrefix(rest, " ")
		if !ok {
			return e, errors.New("want a blank and the link's target")
		}
		if e.Target, rest, err = unquote(target); err != nil {
			return e, err
		}
	}
	if rest != "" {
		return e, fmt.Errorf("unexpected text %q after the entry", clip(rest))
	}
	return e, nil
}

// cutSize takes a decimal number without sign or leading zeros and the blank
// behind it.
func cutSize(s string) (n int64, rest string, err error) {
	digits, rest, ok := strings.Cut(s, " ")
	if ok {
		n, err = strconv.ParseInt(digits, 10, 64)
	}
	if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != digits {
		return 0, "", errors.New("want a size in bytes, decimal, without leading zeros")
	}
	return n, rest, nil
}

// decodeHex fills dst from exactly as many lower-case digits.
func decodeHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) || strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// WriteTo writes the text form. It trusts the manifest to be sorted and sound.
func (m *Manifest) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, header+"\n")
	total := int64(n)
	buf := make([]byte, 0, 64<<10)
	for i, e := range m.Entries {
		buf = appendEntry(buf, e)
		if len(buf) < 32<<10 && i+1 < len(m.Entries) {
			continue
		}
		if err != nil {
			break
		}
		n, err = w.Write(buf)
		total += int64(n)
		buf = buf[:0]
	}
	if err != nil {
		return total, fmt.Errorf("cannot write the manifest: %w", err)
	}
	return total, nil
}

func appendEntry(b []byte, e Entry) []byte {
	b = append(b, byte(e.Type), ' ')
	if e.Type.Regular() {
		b = strconv.AppendInt(b, e.Size, 10)
		b = append(b, ' ')
		b = hex.AppendEncode(b, e.Sum[:])
		b = append(b, ' ')
	}
	b = appendQuoted(b, e.Path)
	if e.Type == Link {
		b = append(b, ' ')
		b = appendQuoted(b, e.Target)
	}
	return append(b, '\n')
}

// isControl is true for the characters that are always escaped: C0, DEL and
// C1, which a terminal would obey when a manifest is shown.
func isControl(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 }

func appendQuoted(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case isControl(r):
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// unquote takes a quoted name from the start of s.
func unquote(s string) (name, rest string, err error) {
	body, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return "", "", errors.New("want a name in double quotes")
	}
	var b strings.Builder
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRuneInString(body[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return "", "", errors.New("the name is not valid UTF-8")
		case r == '"':
			return b.String(), body[i+1:], nil
		case isControl(r):
			return "", "", fmt.Errorf("the control character %U must be escaped", r)
		case r == '\\':
			if r, size = unescape(body[i:]); size == 0 {
				return "", "", fmt.Errorf("unknown escape at %q", clip(body[i:]))
			}
		}
		b.WriteRune(r)
		i += size
	}
	return "", "", errors.New("the closing quote is missing")
}

// unescape reads the escape at the start of s; size 0 means none that
// appendQuoted writes.
func unescape(s string) (r rune, size int) {
	if strings.HasPrefix(s, `\"`) || strings.HasPrefix(s, `\\`) {
		return rune(s[1]), 2
	}
	var code [1]byte
	if len(s) < 6 || !strings.HasPrefix(s, `\u00`) || !decodeHex(code[:], s[4:6]) || !isControl(rune(code[0])) {
		return 0, 0
	}
	return rune(code[0]), 6
}

// lines hands out lines without their LF, counts them, and refuses a CR at the
// end, a last line without LF, and more bytes than allowed.
type lines struct {
	r    *bufio.Reader
	left int64 // bytes still allowed
	n    int   // lines read
	open bool  // the last line may lack its LF (`.files`)
}

// maxLine holds two quoted names of MaxPath bytes, each byte escaped to six.
const maxLine = 2*6*MaxPath + 256

func newLines(r io.Reader, limit int64) *lines {
	return &lines{r: bufio.NewReaderSize(r, maxLine), left: limit}
}

func (l *lines) next() (string, error) {
	b, err := l.r.ReadSlice('\n')
	if err == io.EOF && len(b) == 0 {
		return "", io.EOF
	}
	l.n++
	switch {
	case int64(len(b)) > l.left:
		return "", l.fault(errors.New("the text is longer than allowed"))
	case err == bufio.ErrBufferFull:
		return "", l.fault(errors.New("the line is too long"))
	case err == io.EOF && !l.open:
		return "", l.fault(errors.New("the line end is missing"))
	case err != nil && err != io.EOF:
		return "", err
	}
	l.left -= int64(len(b))
	b = bytes.TrimSuffix(b, []byte{'\n'})
	if bytes.HasSuffix(b, []byte{'\r'}) {
		return "", l.fault(errors.New("the line ends with CR LF, want LF"))
	}
	return string(b), nil
}

func (l *lines) fault(err error) error { return &SyntaxError{Line: l.n, Err: err} }
