package manifest

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// FilesLine is one line of a product's `.files` list, the file by which opsi
// clients synchronise a product (seed A, "Using the .files file for
// Synchronization"):
//
//	d 'utils' 0
//	f 'utils/patch_config_file.py' 2506 d3007628addf6d9f688eb4c2e219dc18
//	l 'utils/link_to_patch_config_file.py' 0 '/utils/patch_config_file.py'
//
// MD5 protects against a broken transfer, not against an attacker.
type FilesLine struct {
	Type   Type // Dir, File or Link; the list knows no executables
	Path   string
	Size   int64          // bytes of a file, else 0
	MD5    [md5.Size]byte // of a file, else zero
	Target string         // of a link: the path from the product's base, "." for the base; printed with a leading slash
}

// FilesLines derives the lines of m. The sums name every regular file.
func (m *Manifest) FilesLines(sums map[string][md5.Size]byte) ([]FilesLine, error) {
	out := make([]FilesLine, 0, len(m.Entries))
	for _, e := range m.Entries {
		l := FilesLine{Type: e.Type, Path: e.Path, Size: e.Size}
		switch e.Type {
		case Exec, File:
			sum, ok := sums[e.Path]
			if !ok {
				return nil, fmt.Errorf("cannot list %q: its MD5 sum is missing", e.Path)
			}
			l.Type, l.MD5 = File, sum
		case Link:
			l.Target = Resolve(e.Path, e.Target)
		}
		out = append(out, l)
	}
	return out, nil
}

// WriteFiles writes a `.files` list. Like opsi's own generator it ends without
// a line end. Only the single quote is escaped; a name that the format cannot
// carry (with a line end, or a backslash before a quote) is refused before
// anything is written.
func WriteFiles(w io.Writer, list []FilesLine) error {
	var b bytes.Buffer
	for i, l := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		if err := l.append(&b); err != nil {
			return fmt.Errorf("cannot write the .files list: %w", err)
		}
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("cannot write the .files list: %w", err)
	}
	return nil
}

func (l FilesLine) append(b *bytes.Buffer) error {
	if err := l.check(); err != nil {
		return err
	}
	b.WriteString(l.String())
	return nil
}

func (l FilesLine) check() error {
	switch {
	case l.Type != Dir && l.Type != File && l.Type != Link:
		return fmt.Errorf("%q is a %v, which the list does not know", l.Path, l.Type)
	case l.Size < 0, l.Type != File && l.Size != 0:
		return fmt.Errorf("%q is a %v and cannot have the size %d", l.Path, l.Type, l.Size)
	}
	names := []string{l.Path}
	if l.Type == Link && l.Target != "." {
		names = append(names, l.Target)
	}
	for _, name := range names {
		if err := CheckPath(name); err != nil {
			return err
		}
		if strings.ContainsAny(name, "\r\n") {
			return fmt.Errorf("%q holds a line end, which the list cannot carry; rename it", name)
		}
	}
	return nil
}

func quoteSingle(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }

// ParseFiles reads a `.files` list in the order it stands. Beside what
// WriteFiles prints it takes what opsi writes: a blank at the end of folder
// lines, entries in any order, a line end at the end. The tree must be closed
// and free of duplicates, as in a manifest.
func ParseFiles(r io.Reader, limits Limits) ([]FilesLine, error) {
	list, err := parseFiles(r, limits.orDefault())
	if err != nil {
		return nil, fmt.Errorf("cannot read the .files list: %w", err)
	}
	return list, nil
}

func parseFiles(r io.Reader, limits Limits) ([]FilesLine, error) {
	in := &lines{r: bufio.NewReaderSize(r, maxLine), left: limits.Bytes, open: true}
	var list []FilesLine
	for {
		text, err := in.next()
		if err == io.EOF {
			return list, checkClosed(list)
		}
		if err != nil {
			return nil, err
		}
		if len(list) == limits.Entries {
			return nil, in.fault(fmt.Errorf("more than %d entries", limits.Entries))
		}
		l, err := parseFilesLine(text)
		if err == nil {
			err = l.check()
		}
		if err == nil && len(l.Path) > limits.Path {
			err = fmt.Errorf("the path is longer than %d bytes", limits.Path)
		}
		if err != nil {
			return nil, in.fault(err)
		}
		list = append(list, l)
	}
}

// checkClosed applies the rules of a tree to lines in any order.
func checkClosed(list []FilesLine) error {
	entries := make([]Entry, len(list))
	for i, l := range list {
		entries[i] = Entry{Path: l.Path, Type: l.Type, Size: l.Size}
		if l.Type == Link {
			entries[i].Target = "." // checked already: it is a path from the base
		}
	}
	_, err := New(entries)
	return err
}

func parseFilesLine(text string) (l FilesLine, err error) {
	if len(text) < 2 || text[1] != ' ' {
		return l, errors.New("want a type letter and a blank")
	}
	l.Type = Type(text[0])
	rest := text[2:]
	if l.Path, rest, err = unquoteSingle(rest); err != nil {
		return l, err
	}
	rest, ok := strings.CutPrefix(rest, " ")
	if !ok {
		return l, errors.New("want a blank and a size after the name")
	}
	if !strings.Contains(rest, " ") {
		rest += " " // opsi ends a folder's line with a blank, the seed does not
	}
	if l.Size, rest, err = cutSize(rest); err != nil {
		return l, err
	}
	switch l.Type {
	case File:
		if !decodeHex(l.MD5[:], rest) {
			return l, errors.New("want an MD5 sum in lower-case hexadecimal at the end")
		}
		return l, nil
	case Dir:
	case Link:
		if l.Target, rest, err = unquoteSingle(rest); err != nil {
			return l, err
		}
		if l.Target, ok = strings.CutPrefix(l.Target, "/"); !ok {
			return l, errors.New("a link's target must start with a slash, the product's base")
		}
		if l.Target == "" {
			l.Target = "."
		} else if l.Target == "." {
			return l, errors.New("a link's target cannot be \"/.\"")
		}
	default:
		return l, fmt.Errorf("the list does not know a %v", l.Type)
	}
	if rest != "" {
		return l, fmt.Errorf("unexpected text %q after the entry", clip(rest))
	}
	return l, nil
}

// unquoteSingle takes a name in single quotes; `\'` is the only escape, any
// other backslash stands for itself (and is refused by CheckPath).
func unquoteSingle(s string) (name, rest string, err error) {
	body, ok := strings.CutPrefix(s, "'")
	if !ok {
		return "", "", errors.New("want a name in single quotes")
	}
	for i := 0; i < len(body); i++ {
		switch {
		case strings.HasPrefix(body[i:], `\'`):
			i++
		case body[i] == '\'':
			return strings.ReplaceAll(body[:i], `\'`, "'"), body[i+1:], nil
		}
	}
	return "", "", errors.New("the closing quote is missing")
}

// String is the line without its end.
func (l FilesLine) String() string {
	switch l.Type {
	case File:
		return "f " + quoteSingle(l.Path) + " " + strconv.FormatInt(l.Size, 10) + " " + hex.EncodeToString(l.MD5[:])
	case Link:
		return "l " + quoteSingle(l.Path) + " 0 " + quoteSingle("/"+base(l.Target))
	}
	return "d " + quoteSingle(l.Path) + " 0"
}

// base prints ".", the product's own folder, as nothing.
func base(target string) string {
	if target == "." {
		return ""
	}
	return target
}
