package manifest

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// MaxPath is the longest path or link target in bytes (PATH_MAX of Linux), and
// MaxName the longest single name in it (NAME_MAX).
const (
	MaxPath = 4096
	MaxName = 255
)

// CheckPath refuses a path that could mean two things or leave the tree: empty,
// absolute, with an empty, "." or ".." component, with a backslash (a
// separator on Windows), a NUL, invalid UTF-8, or too long. What a particular
// system cannot hold is another question, see [Manifest.Portable].
func CheckPath(p string) error {
	if err := checkText(p); err != nil {
		return fmt.Errorf("cannot use the path %q: %w", clip(p), err)
	}
	if strings.HasPrefix(p, "/") {
		return fmt.Errorf("cannot use the path %q: it is absolute", clip(p))
	}
	for name := range strings.SplitSeq(p, "/") {
		var why string
		switch {
		case name == "":
			why = "a name in it is empty"
		case name == "." || name == "..":
			why = fmt.Sprintf("it holds %q", name)
		case len(name) > MaxName:
			why = fmt.Sprintf("a name in it is longer than %d bytes", MaxName)
		default:
			continue
		}
		return fmt.Errorf("cannot use the path %q: %s", clip(p), why)
	}
	return nil
}

// CheckLink refuses a link that could lead out of the tree. The target is
// relative to the link's own folder; ".." is allowed only at its start. A ".."
// after a name would be resolved by the system behind a possible other link,
// so that "a/link/.." can lie outside although it looks as if inside; leading
// ones climb through folders, because nothing lies below a link.
func CheckLink(p, target string) error {
	if err := checkTarget(p, target); err != nil {
		return fmt.Errorf("cannot use the link %q to %q: %w", clip(p), clip(target), err)
	}
	return nil
}

func checkTarget(p, target string) error {
	if err := checkText(target); err != nil {
		return err
	}
	if strings.HasPrefix(target, "/") {
		return errors.New("its target is absolute")
	}
	depth := strings.Count(p, "/")
	named := false
	for name := range strings.SplitSeq(target, "/") {
		switch {
		case name == "" || name == ".": // the same folder
		case name != "..":
			named = true
			if len(name) > MaxName {
				return fmt.Errorf("a name in its target is longer than %d bytes", MaxName)
			}
		case named:
			return errors.New(`its target holds ".." after a name`)
		default:
			if depth--; depth < 0 {
				return errors.New("it leads out of the tree")
			}
		}
	}
	return nil
}

// Resolve returns the path within the tree that a link names, "." for the
// tree's own folder. The link must have passed [CheckLink].
func Resolve(p, target string) string { return path.Join(path.Dir(p), target) }

func checkText(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case len(s) > MaxPath:
		return fmt.Errorf("it is longer than %d bytes", MaxPath)
	case !utf8.ValidString(s):
		return errors.New("it is not valid UTF-8")
	case strings.ContainsRune(s, 0):
		return errors.New("it holds a NUL character")
	case strings.Contains(s, `\`):
		return errors.New("it holds a backslash")
	}
	return nil
}

// clip keeps an error readable when the path is the fault.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
