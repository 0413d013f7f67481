package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

// state is what is noted.
type state struct {
	Parts []Noted `json:"parts"`
	// Writing is a resolv.conf that is being written in place, where it cannot be
	// replaced: who dies in the middle leaves neither the old text nor the new one.
	Writing *writing `json:"writing,omitempty"`
}

type writing struct {
	Was  string `json:"was"`  // all that it held
	Text string `json:"text"` // that is being written
}

func (s *state) part(owner string) (Noted, bool) {
	i := slices.IndexFunc(s.Parts, func(p Noted) bool { return p.Owner == owner })
	if i < 0 {
		return Noted{}, false
	}
	return s.Parts[i], true
}

func (s *state) put(p Noted) {
	s.drop(p.Owner)
	s.Parts = append(s.Parts, p)
	slices.SortFunc(s.Parts, func(a, b Noted) int { return strings.Compare(a.Owner, b.Owner) })
}

func (s *state) drop(owner string) {
	s.Parts = slices.DeleteFunc(slices.Clone(s.Parts), func(p Noted) bool { return p.Owner == owner })
}

func (r Resolver) note() string { return filepath.Join(r.Dir, "resolver.json") }

func (r Resolver) load() (s state, err error) {
	text, err := os.ReadFile(r.note())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	for _, p := range s.Parts {
		if err == nil {
			err = p.Check()
		}
	}
	if err != nil {
		return state{}, fmt.Errorf("cannot read %s: %w", r.note(), err)
	}
	return s, nil
}

func (r Resolver) save(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(r.note(), append(text, '\n'), 0o600)
}

// locked is for what changes the machine: one after the other.
func (r Resolver) locked(ctx context.Context, do func(*state) error) error {
	lock, err := filelock.Await(ctx, filepath.Join(r.Dir, "resolver.lock"), patience)
	if err != nil {
		return err
	}
	defer lock.Release()
	s, err := r.load()
	if err != nil {
		return err
	}
	if s.Writing != nil { // somebody died over it
		if err := r.edit(&s); err != nil {
			return err
		}
	}
	return do(&s)
}
