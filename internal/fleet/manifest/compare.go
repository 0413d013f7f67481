package manifest

import "cmp"

// Change is one path that both trees have, with different entries.
type Change struct{ Old, New Entry }

// Diff is what separates two trees. Every list is in path order.
type Diff struct {
	Added   []Entry // only in the new tree
	Removed []Entry // only in the old tree
	Changed []Change
	Same    []Entry
}

// Equal reports whether the trees are the same.
func (d Diff) Equal() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

// First returns the first path, in path order, at which the trees differ.
func (d Diff) First() (path string, ok bool) {
	keep := func(p string) {
		if !ok || p < path {
			path, ok = p, true
		}
	}
	if len(d.Added) > 0 {
		keep(d.Added[0].Path)
	}
	if len(d.Removed) > 0 {
		keep(d.Removed[0].Path)
	}
	if len(d.Changed) > 0 {
		keep(d.Changed[0].New.Path)
	}
	return path, ok
}

// Compare says what must happen to the old tree to become the new one. It
// walks both once.
func Compare(before, after *Manifest) Diff {
	var d Diff
	a, b := before.Entries, after.Entries
	for len(a) > 0 || len(b) > 0 {
		var order int
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = cmp.Compare(a[0].Path, b[0].Path)
		}
		switch {
		case order < 0:
			d.Removed = append(d.Removed, a[0])
			a = a[1:]
		case order > 0:
			d.Added = append(d.Added, b[0])
			b = b[1:]
		default:
			if a[0] == b[0] {
				d.Same = append(d.Same, b[0])
			} else {
				d.Changed = append(d.Changed, Change{a[0], b[0]})
			}
			a, b = a[1:], b[1:]
		}
	}
	return d
}
