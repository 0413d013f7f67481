package dav

import (
	"os"
	"path"
	"strings"
)

// mostNames is how many names of a folder are compared, so that a request for
// what is not there costs no more than listing a large product.
const mostNames = 20_000

// spelled returns a path as the folder has it: opsi's depots compare names in
// any case, and scripts written on Windows rely on that. The exact spelling
// wins; where two others fit, none does.
func spelled(root *os.Root, name string) string {
	if _, err := root.Lstat(name); !os.IsNotExist(err) {
		return name
	}
	at := "."
	for part := range strings.SplitSeq(name, "/") {
		next := path.Join(at, part)
		if _, err := root.Lstat(next); os.IsNotExist(err) {
			right := similar(root, at, part)
			if right == "" {
				return name
			}
			next = path.Join(at, right)
		}
		at = next
	}
	return at
}

// similar finds the only name in a folder that differs in case alone.
func similar(root *os.Root, folder, name string) (found string) {
	f, err := root.Open(folder)
	if err != nil {
		return ""
	}
	defer f.Close()
	names, err := f.Readdirnames(mostNames)
	if err != nil {
		return ""
	}
	for _, n := range names {
		if strings.EqualFold(n, name) {
			if found != "" {
				return ""
			}
			found = n
		}
	}
	return found
}
