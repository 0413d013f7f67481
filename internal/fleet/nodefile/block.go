package nodefile

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// The marks, each a line. Files with blocks are those whose comments begin with #.
const (
	begin = "# fernwerk begin: these lines are the server's, and are put right when they are changed"
	end   = "# fernwerk end"
)

// validBlock says whether a content can be a block: whole lines of text, none of
// which could be taken for a mark.
func validBlock(content []byte) error {
	switch {
	case len(content) == 0 || content[len(content)-1] != '\n':
		return fleet.Errorf(fleet.Invalid, "a block is whole lines, each with its end")
	case !utf8.Valid(content) || bytes.ContainsAny(content, "\x00\r"):
		return fleet.Errorf(fleet.Invalid, "a block is text, with line feeds only")
	}
	for line := range bytes.Lines(content) {
		if isMark(line) != "" || strings.HasPrefix(string(line), "# fernwerk ") {
			return fleet.Errorf(fleet.Invalid, "a line of a block looks like one of its marks")
		}
	}
	return nil
}

// isMark is the mark that a line is, "" for none.
func isMark(line []byte) string {
	switch text := string(bytes.TrimRight(line, "\r\n")); text {
	case begin, end:
		return text
	}
	return ""
}

// find is where the block of a file is, marks included; start is -1 if there is
// none.
func find(file []byte) (start, inner, innerEnd, stop int, err error) {
	start, stop = -1, -1
	at := 0
	for line := range bytes.Lines(file) {
		next := at + len(line)
		switch isMark(line) {
		case begin:
			if start >= 0 {
				return 0, 0, 0, 0, errMarks
			}
			start, inner = at, next
		case end:
			if start < 0 || stop >= 0 {
				return 0, 0, 0, 0, errMarks
			}
			innerEnd, stop = at, next
		}
		at = next
	}
	if start >= 0 && stop < 0 {
		return 0, 0, 0, 0, errMarks
	}
	return start, inner, innerEnd, stop, nil
}

var errMarks = fleet.WithHint(fleet.Errorf(fleet.Conflict, "the marks of its block are not one beginning and one end"), "take the lines that begin with \"# fernwerk\" out of it")

// Block is what stands between the marks of a file; there is false if it has none.
func Block(file []byte) (content []byte, there bool, err error) {
	start, inner, innerEnd, _, err := find(file)
	if err != nil || start < 0 {
		return nil, false, err
	}
	return file[inner:innerEnd], true, nil
}

// Splice is a file with a content between its marks; nil takes block and marks out.
// Everything else stays byte for byte, but that a last line without an end gets one
// before a block follows it.
func Splice(file, content []byte) ([]byte, error) {
	start, _, _, stop, err := find(file)
	if err != nil {
		return nil, err
	}
	var block []byte
	if content != nil {
		if err := validBlock(content); err != nil {
			return nil, err
		}
		block = append(block, begin+"\n"...)
		block = append(block, content...)
		block = append(block, end+"\n"...)
	}
	if start < 0 {
		if content == nil {
			return bytes.Clone(file), nil
		}
		start, stop = len(file), len(file)
		if len(file) > 0 && file[len(file)-1] != '\n' {
			block = append([]byte("\n"), block...)
		}
	}
	out := make([]byte, 0, len(file)+len(block))
	out = append(out, file[:start]...)
	out = append(out, block...)
	return append(out, file[stop:]...), nil
}
