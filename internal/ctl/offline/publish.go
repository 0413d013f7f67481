package offline

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Limits of one call.
const (
	maxContents = 16
	maxBytes    = 4 << 20
)

// Server is who answers methods; *tool.Tool is one.
type Server interface {
	Call(ctx context.Context, method string, args ...any) (any, error)
}

// Remote is what a server has.
type Remote struct {
	Roots     []string
	Targets   string
	Depot     string
	Snapshot  string
	Timestamp string
	Online    Online
	Contents  map[string]bool // by SHA-256
}

// Ask asks a server for its documents.
func Ask(ctx context.Context, s Server) (*Remote, error) {
	m, err := rpc.As[map[string]any](s.Call(ctx, "trust_getDocuments"))
	if err != nil {
		return nil, err
	}
	r := &Remote{Online: Online{}, Contents: map[string]bool{}}
	for name, at := range map[string]*string{"targets": &r.Targets, "depot": &r.Depot, "snapshot": &r.Snapshot, "timestamp": &r.Timestamp} {
		*at, _ = m[name].(string)
	}
	roots, _ := m["roots"].([]any)
	for _, v := range roots {
		text, ok := v.(string)
		if !ok {
			return nil, fleet.Errorf(fleet.Invalid, "cannot read what the server has: a root is no text")
		}
		r.Roots = append(r.Roots, text)
	}
	contents, _ := m["contents"].([]any)
	for _, v := range contents {
		sum, _ := v.(string)
		r.Contents[sum] = true
	}
	online, _ := m["online"].(map[string]any)
	for role, v := range online {
		r.Online[role], _ = v.(string)
	}
	return r, nil
}

// MakeKeys has a server make keys that the next root may name.
func MakeKeys(ctx context.Context, s Server) (Online, error) {
	m, err := rpc.As[map[string]any](s.Call(ctx, "trust_makeKeys"))
	out := Online{}
	for role, v := range m {
		out[role], _ = v.(string)
	}
	return out, err
}

// Published says which versions a server has afterwards, by role.
type Published map[string]int64

// Lacks says what a server would be handed: how many roots, and whether the list.
func (d *Dir) Lacks(ctx context.Context, s Server) (roots int, list bool, err error) {
	there, err := Ask(ctx, s)
	if err != nil {
		return 0, false, err
	}
	missing, err := d.missing(there)
	if err == nil && d.void != nil {
		err = d.voided()
	}
	if err == nil {
		err = d.above(there)
	}
	return len(missing), there.Targets != string(d.list.Raw()), err
}

// Publish hands to a server what it lacks. What it has already it keeps; being
// broken off and called again is no harm.
func (d *Dir) Publish(ctx context.Context, s Server) (Published, error) {
	there, err := Ask(ctx, s)
	if err != nil {
		return nil, err
	}
	roots, err := d.missing(there)
	if err != nil {
		return nil, err
	}
	if d.void != nil {
		return nil, d.voided()
	}
	if err := d.above(there); err != nil {
		return nil, err
	}
	var batch []any
	size := 0
	send := func(roots []any, targets any) (any, error) {
		v, err := s.Call(ctx, "trust_publish", roots, targets, batch)
		batch, size = nil, 0
		return v, err
	}
	sent := map[string]bool{}
	for _, name := range names(d.list.Targets, "") {
		sum := d.list.Targets[name].SHA256
		key := hex.EncodeToString(sum[:])
		if !trust.HasContent(name) || there.Contents[key] || sent[key] {
			continue
		}
		content, err := d.signedContent(name)
		if err != nil {
			return nil, err
		}
		if size += len(content); len(batch) > 0 && size > maxBytes || len(batch) == maxContents {
			if _, err := send(nil, nil); err != nil {
				return nil, err
			}
			size = len(content)
		}
		sent[key] = true
		batch = append(batch, base64.StdEncoding.EncodeToString(content))
	}
	v, err := rpc.As[map[string]any](send(roots, string(d.list.Raw())))
	if err != nil {
		return nil, err
	}
	out := Published{}
	for role, n := range v {
		switch n := n.(type) {
		case int64:
			out[role] = n
		case float64:
			out[role] = int64(n)
		}
	}
	return out, d.notePublished()
}

func (d *Dir) signedContent(name string) ([]byte, error) {
	t := d.list.Targets[name]
	data, err := readFile(d.at(contentDir, hex.EncodeToString(t.SHA256[:])), trust.MaxContent)
	if err == nil {
		err = t.Check(data)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot publish %s: %w", name, err)
	}
	return data, nil
}

// missing are our roots that the server lacks; one of another origin is refused.
func (d *Dir) missing(there *Remote) ([]any, error) {
	for i, text := range there.Roots {
		if i < len(d.roots) && string(d.roots[i].Raw()) != text {
			if i == 0 {
				return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has another trust root: its hosts would not follow this one"),
					"use the folder that was made for this server; if its keys are lost: fernwerkd trust forget")
			}
			return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has another root with the number %d", i+1),
				"two rotated from one root: go on with the folder whose root the server has, and rotate there again")
		}
	}
	if len(there.Roots) > len(d.roots) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has root %d, and here is root %d", len(there.Roots), len(d.roots)), "run: fernwerk trust pull %s", d.path)
	}
	out := []any{}
	for _, r := range d.roots[len(there.Roots):] {
		out = append(out, string(r.Raw()))
	}
	return out, nil
}

// above refuses a list that the server cannot take.
func (d *Dir) above(there *Remote) error {
	if there.Targets == "" || there.Targets == string(d.list.Raw()) {
		return nil
	}
	theirs, err := trust.ParseTargets(trust.RoleTargets, []byte(there.Targets))
	if err != nil {
		return fmt.Errorf("cannot read the server's list: %w", err)
	}
	switch {
	case theirs.Version > d.list.Version:
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has list %d, and here is list %d", theirs.Version, d.list.Version),
			"run: fernwerk trust pull %s", d.path)
	case theirs.Version == d.list.Version:
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the server has another list with the number %d: somebody else has signed meanwhile", theirs.Version),
			"run: fernwerk trust pull %s --discard; it says what has to be signed again", d.path)
	}
	return nil
}

// Pulled says what a pull changed.
type Pulled struct {
	Root, Targets int64
	// Lost are names that only our list had, or had otherwise.
	Lost []string
}

// Pull takes roots and list that a server has, if they are signed by the keys that
// we know. A list of ours that was never published is given up with discard only.
func (d *Dir) Pull(ctx context.Context, s Server, discard bool) (*Pulled, error) {
	there, err := Ask(ctx, s)
	if err != nil {
		return nil, err
	}
	p := &Pulled{}
	known := Remote{Roots: there.Roots[:min(len(there.Roots), len(d.roots))]}
	if _, err := d.missing(&known); err != nil {
		return nil, err
	}
	for i, text := range there.Roots {
		if i < len(d.roots) {
			continue
		}
		r, err := trust.ParseRoot([]byte(text))
		if err == nil {
			err = r.Verify(d.Root())
		}
		if err != nil {
			return nil, fmt.Errorf("cannot follow the server's root: %w", err)
		}
		if err := d.keepRoot(r); err != nil {
			return nil, err
		}
	}
	if err := d.pullList(ctx, s, there, discard, p); err != nil {
		return nil, err
	}
	p.Root, p.Targets = d.Root().Version, d.list.Version
	return p, nil
}

func (d *Dir) pullList(ctx context.Context, s Server, there *Remote, discard bool, p *Pulled) error {
	if there.Targets == "" || there.Targets == string(d.list.Raw()) && d.void == nil {
		if there.Targets != "" {
			return d.notePublished()
		}
		return nil
	}
	theirs, err := d.verified([]byte(there.Targets))
	if err != nil {
		return fmt.Errorf("cannot believe the server's list: %w", err)
	}
	if theirs.Version < d.list.Version && !discard && d.void == nil {
		return nil // ours is ahead: publish it
	}
	for name, t := range d.list.Targets {
		if other, ok := theirs.Targets[name]; !ok || !sameTarget(t, other) {
			p.Lost = append(p.Lost, name)
		}
	}
	slices.Sort(p.Lost)
	if d.Unpublished() && !discard {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "list %d here was never published, and the server has list %d", d.list.Version, theirs.Version),
			"give it up with --discard; what it names otherwise has to be signed again: %s", fmt.Sprint(p.Lost[:min(10, len(p.Lost))]))
	}
	if theirs.Version < d.list.Version {
		return fleet.Errorf(fleet.Denied, "cannot go back from list %d to the server's list %d: publish this one", d.list.Version, theirs.Version)
	}
	for _, name := range slices.Sorted(maps.Keys(theirs.Targets)) {
		if err := d.pullContent(ctx, s, name, theirs.Targets[name]); err != nil {
			return err
		}
	}
	if err := d.keepList([]byte(there.Targets)); err != nil {
		return err
	}
	return d.notePublished()
}

// pullContent fetches a content that is not here.
func (d *Dir) pullContent(ctx context.Context, s Server, name string, t trust.Target) error {
	if !trust.HasContent(name) {
		return nil
	}
	sum := hex.EncodeToString(t.SHA256[:])
	if data, err := readFile(d.at(contentDir, sum), trust.MaxContent); err == nil && t.Check(data) == nil {
		return nil
	}
	text, err := rpc.As[string](s.Call(ctx, "trust_getContent", sum))
	if err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = t.Check(data)
	}
	if err != nil {
		return fmt.Errorf("cannot take the content of %s: %w", name, err)
	}
	return d.keepContent(data)
}
