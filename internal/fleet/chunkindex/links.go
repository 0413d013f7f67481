package chunkindex

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// WithoutLinks returns the index of the tree in which every link is replaced by
// a copy of what it leads to, as seed A wants it on Windows ("Instead of links
// there will be copies of the link target"). The chunks and their ordinals stay
// those of x, so chunks can be asked for by them; the digest is that of the new
// tree. A link to nothing vanishes.
//
// Links can multiply: a tree that would grow beyond most entries is refused,
// and so is a link that leads to itself or to a folder above itself.
func (x *Index) WithoutLinks(most int) (*Index, error) {
	c := copier{x: x, most: most, at: make(map[string]int, len(x.Tree.Entries))}
	links := false
	for i, e := range x.Tree.Entries {
		c.at[e.Path] = i
		links = links || e.Type == manifest.Link
	}
	if !links {
		return x, nil
	}
	for i, e := range x.Tree.Entries {
		if err := c.put(e.Path, i, 0); err != nil {
			return nil, fmt.Errorf("cannot copy the target of the link %q: %w", e.Path, err)
		}
	}
	from := make(map[string]int, len(c.from))
	for i, e := range c.entries {
		from[e.Path] = c.from[i]
	}
	tree, err := manifest.New(c.entries)
	if err != nil {
		return nil, err
	}
	out := &Index{Tree: tree, Digest: tree.Digest(), Chunks: x.Chunks}
	for _, e := range tree.Entries {
		out.refs = append(out.refs, x.Of(from[e.Path])...)
		out.ends = append(out.ends, uint32(len(out.refs)))
	}
	return out, nil
}

type copier struct {
	x       *Index
	most    int
	at      map[string]int // path -> entry
	entries []manifest.Entry
	from    []int // the entry each was copied from
}

// maxHops bounds links that lead to links.
const maxHops = 40

// put copies the entry i to path, and what lies below it if that is not where
// it lies already.
func (c *copier) put(path string, i, hops int) error {
	e := c.x.Tree.Entries[i]
	if e.Type == manifest.Link {
		if hops == maxHops {
			return fmt.Errorf("more than %d links lead to each other", maxHops)
		}
		to := manifest.Resolve(e.Path, e.Target)
		if to == "." || strings.HasPrefix(e.Path+"/", to+"/") || strings.HasPrefix(path+"/", to+"/") {
			return fmt.Errorf("it leads to its own folder or one above")
		}
		j, ok := c.resolve(to, hops+1)
		if !ok {
			return nil
		}
		return c.put(path, j, hops+1)
	}
	if len(path) > manifest.MaxPath { // links that lead to each other's folders
		return fmt.Errorf("the copy's path is longer than %d bytes", manifest.MaxPath)
	}
	if len(c.entries) == c.most {
		return fmt.Errorf("the tree would have more than %d entries", c.most)
	}
	copied := path != e.Path
	from := e.Path + "/"
	e.Path = path
	c.entries = append(c.entries, e)
	c.from = append(c.from, i)
	if !copied || e.Type != manifest.Dir {
		return nil
	}
	// The entries below a folder follow it, but names such as "a.b" stand
	// between "a" and "a/".
	for j := i + 1; j < len(c.x.Tree.Entries); j++ {
		below, ok := strings.CutPrefix(c.x.Tree.Entries[j].Path, from)
		switch {
		case !ok && c.x.Tree.Entries[j].Path > from:
			return nil
		case !ok || strings.Contains(below, "/"):
			continue
		}
		if err := c.put(path+"/"+below, j, hops); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds the entry of a path whose folders may be links.
func (c *copier) resolve(path string, hops int) (int, bool) {
	if i, ok := c.at[path]; ok {
		return i, true
	}
	for at := 0; hops < maxHops; {
		slash := strings.IndexByte(path[at:], '/')
		if slash < 0 {
			return 0, false
		}
		at += slash
		i, ok := c.at[path[:at]]
		if !ok {
			return 0, false
		}
		if e := c.x.Tree.Entries[i]; e.Type == manifest.Link {
			to := manifest.Resolve(e.Path, e.Target)
			if to == "." {
				return c.resolve(path[at+1:], hops+1)
			}
			return c.resolve(to+path[at:], hops+1)
		}
		at++
	}
	return 0, false
}
