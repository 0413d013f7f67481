package manifest

import (
	"fmt"
	"path"
	"strings"
	"unicode"
)

// Portable lists what Windows or macOS cannot hold as it is: names reserved
// for devices, names that end with a dot or a blank, characters of Windows'
// own syntax, names that differ only in case, links that lead to a folder
// above themselves (Windows gets copies instead of links, and that copy would
// never end). It is empty for a tree that is the same everywhere.
//
// Not found: names that differ only in Unicode normalisation, such as an
// umlaut as one character and as letter with accent, which macOS takes for one
// (the tables are not part of the standard library), and full case folding,
// such as "ß" with "ss".
func (m *Manifest) Portable() []error {
	var faults []error
	seen := make(map[string]string, len(m.Entries)) // folded -> path
	for _, e := range m.Entries {
		dir, name := path.Split(e.Path)
		if why := unportable(name); why != "" {
			faults = append(faults, fmt.Errorf("%q: %s", e.Path, why))
		}
		// Only the name is folded: two folders that clash are reported once,
		// not again with everything in them.
		folded := dir + foldCase(name)
		if twin, ok := seen[folded]; ok {
			faults = append(faults, fmt.Errorf("%q: differs from %q only in upper and lower case", e.Path, twin))
		} else {
			seen[folded] = e.Path
		}
		if e.Type != Link {
			continue
		}
		to := Resolve(e.Path, e.Target)
		if to == "." || strings.HasPrefix(e.Path+"/", to+"/") {
			faults = append(faults, fmt.Errorf("%q: the link leads to its own folder or one above", e.Path))
		}
		for part := range strings.SplitSeq(to, "/") {
			if why := unportable(part); part != "." && why != "" {
				faults = append(faults, fmt.Errorf("%q: the link's target %q: %s", e.Path, e.Target, why))
				break
			}
		}
	}
	return faults
}

// PortableName refuses a name that Windows cannot hold, such as "nul" or "a.".
func PortableName(name string) error {
	if why := unportable(name); why != "" {
		return fmt.Errorf("%q cannot be a folder on Windows: %s", name, why)
	}
	return nil
}

// unportable says what Windows has against a name ("Naming Files, Paths, and
// Namespaces" of its documentation), or nothing.
func unportable(name string) string {
	for _, r := range name {
		if r < 0x20 || strings.ContainsRune(`<>:"|?*\`, r) {
			return fmt.Sprintf("Windows allows no %q in a name", r)
		}
	}
	if strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return "Windows drops a dot or blank at the end of a name"
	}
	stem, _, _ := strings.Cut(name, ".")
	if stem = strings.ToUpper(strings.TrimRight(stem, " ")); isDevice(stem) {
		return fmt.Sprintf("%s is a device on Windows", stem)
	}
	return ""
}

func isDevice(stem string) bool {
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	digit, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		digit, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && len([]rune(digit)) == 1 && strings.Contains("0123456789¹²³", digit)
}

// foldCase maps every character to the least of those that differ from it
// only in case.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}
