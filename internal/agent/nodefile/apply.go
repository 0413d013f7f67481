package nodefile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// waitError is something that may be otherwise later.
type waitError struct{ error }

func (w waitError) Unwrap() error { return w.error }

func waitsFor(err error) error { return waitError{err} }

// apply makes the files those of the list.
func (s *Service) apply(ctx context.Context, l *nodefile.List) error {
	var units []string
	changed := func(e *entry) {
		e.Pending = len(e.Restart) > 0
		for _, u := range e.Restart {
			if !slices.Contains(units, u) {
				units = append(units, u)
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(s.state.Files)) {
		e := s.state.Files[p]
		if _, there := l.Find(p); there {
			continue
		}
		switch {
		case e.State != nodefile.Removed && s.remove(p, e), e.Pending:
			changed(e)
		case e.State == nodefile.Removed && e.Told:
			delete(s.state.Files, p)
		}
	}
	for _, f := range l.Files {
		e := s.state.Files[f.Path]
		if e == nil || e.State == nodefile.Removed {
			e = &entry{}
			s.state.Files[f.Path] = e
		}
		e.Named, e.Restart, e.Owner, e.Group = f.SHA256, f.Restart, f.Owner, f.Group
		did, err := s.put(ctx, f, e)
		if did || e.Pending && err == nil {
			changed(e)
		}
		switch {
		case err == nil && e.Pending && e.State == nodefile.InPlace: // what came of the restart is said below
		case err == nil:
			s.becomes(f.Path, e, nodefile.InPlace, nil)
		case errors.As(err, &waitError{}):
			s.becomes(f.Path, e, nodefile.Waits, err)
		case fleet.CodeOf(err) == fleet.Denied || fleet.CodeOf(err) == fleet.Conflict:
			s.becomes(f.Path, e, nodefile.Refused, err)
		default:
			s.becomes(f.Path, e, nodefile.Failed, err)
		}
	}
	if len(units) == 0 {
		return nil
	}
	if err := s.save(); err != nil { // restarts are owed from here on, also after a crash
		return err
	}
	s.restart(ctx, units)
	return nil
}

// restart restarts services once each, and notes what came of it.
func (s *Service) restart(ctx context.Context, units []string) {
	failed := map[string]error{}
	for _, u := range units {
		if err := s.Restart(ctx, u); err != nil {
			failed[u] = err
			continue
		}
		s.Log.Info("Restarted, if it ran, since a file of this node changed", "service", u)
	}
	for p, e := range s.state.Files {
		if !e.Pending || slices.ContainsFunc(e.Restart, func(u string) bool { return !slices.Contains(units, u) }) {
			continue
		}
		e.Pending = false
		var problem error
		for _, u := range e.Restart {
			if err := failed[u]; err != nil {
				e.Pending, problem = true, fmt.Errorf("%s could not be restarted: %w", u, err)
			}
		}
		s.becomes(p, e, e.State, problem)
	}
}

// put makes one file right. did says that something was changed.
func (s *Service) put(ctx context.Context, f nodefile.File, e *entry) (did bool, err error) {
	for _, own := range s.Own {
		if f.Path == own || strings.HasPrefix(f.Path, strings.TrimSuffix(own, "/")+"/") {
			return false, fleet.Errorf(fleet.Denied, "no file of a node can be in %s, which is the agent's", own)
		}
	}
	who, err := accounts(f)
	if err != nil {
		return false, waitsFor(err)
	}
	at, err := openPlace(s.Root, f.Path, who, f.Mode, true)
	if err != nil {
		return false, err
	}
	defer at.Close()
	have, err := at.read(f.Block)
	if err != nil {
		return false, err
	}
	part, right := have.part(f.Block)
	if have.err != nil {
		return false, have.err
	}
	if right && e.SHA256 == f.SHA256 && e.Block == f.Block && sum(part) == e.Sum {
		if have.is(who, f.Mode) {
			return false, nil
		}
		s.repaired(f.Path, e)
		return true, at.write(have.data, who, f.Mode)
	}
	content, err := s.fetch(ctx, f)
	if err != nil {
		return false, err
	}
	if e.SHA256 == f.SHA256 && e.Block == f.Block {
		s.repaired(f.Path, e) // it was in place
	}
	if right && bytes.Equal(part, content) && have.is(who, f.Mode) {
		wrote := e.Wrote && e.Block == f.Block && e.Sum == sum(content)
		e.SHA256, e.Sum, e.Block, e.Wrote = f.SHA256, sum(content), f.Block, wrote || f.Block
		return false, nil // what stands there was somebody's, or a secret with another salt
	}
	next, made := content, false
	if f.Block {
		base := have.data
		if !have.there || e.Wrote && !e.Block && e.Sum == sum(have.data) { // a whole file of ours becomes a block
			base, made = nil, true
		}
		if next, err = nodefile.Splice(base, content); err != nil {
			return false, err
		}
		made = made || e.Made && e.Block
	}
	// What is written, and what is owed after it, is known before it is there. The
	// digest says that it is in place, and comes after.
	e.SHA256, e.Sum, e.Block, e.Wrote, e.Made, e.Pending = "", sum(content), f.Block, true, made, len(f.Restart) > 0
	if err := s.save(); err != nil {
		return false, err
	}
	if err := at.write(next, who, f.Mode); err != nil {
		return false, err
	}
	e.SHA256 = f.SHA256
	return true, nil
}

// repaired notes that a change that was made here is put right.
func (s *Service) repaired(path string, e *entry) {
	e.Repaired = s.Now().UTC().Truncate(time.Second)
	s.Log.Warn("A file of this node was changed here, and is put right", "path", path)
}

// remove takes away what the agent wrote and the list no longer names.
func (s *Service) remove(p string, e *entry) (did bool) {
	gone := func() { s.becomes(p, e, nodefile.Removed, nil) }
	stays := func(format string, args ...any) bool {
		s.becomes(p, e, nodefile.Left, fmt.Errorf(format, args...))
		return false
	}
	if !e.Wrote {
		gone() // nothing of ours is there
		return false
	}
	who, err := accounts(nodefile.File{Owner: e.Owner, Group: e.Group})
	if err != nil {
		who = account{} // gone since
	}
	at, err := openPlace(s.Root, p, who, 0o600, false)
	if errors.Is(err, fs.ErrNotExist) {
		gone()
		return false
	}
	if err != nil {
		return stays("it cannot be removed: %w", err)
	}
	defer at.Close()
	have, err := at.read(e.Block)
	if err != nil {
		return stays("it cannot be removed: %w", err)
	}
	part, there := have.part(e.Block)
	switch {
	case have.err != nil:
		return stays("its block cannot be taken out: %w", have.err)
	case !there:
		gone()
		return false
	case sum(part) != e.Sum:
		return stays("it was changed here")
	}
	if e.Block {
		rest, err := nodefile.Splice(have.data, nil)
		if err == nil && (len(rest) > 0 || !e.Made) {
			err = at.write(rest, have.owner, have.mode)
		} else if err == nil {
			err = at.remove()
		}
		if err != nil {
			return stays("its block cannot be taken out: %w", err)
		}
	} else if err := at.remove(); err != nil {
		return stays("it cannot be removed: %w", err)
	}
	gone()
	return true
}

// part is what the agent answers for: the whole content, or the block.
func (h *found) part(block bool) (part []byte, there bool) {
	if !h.there {
		return nil, false
	}
	if !block {
		return h.data, true
	}
	part, there, h.err = nodefile.Block(h.data)
	return part, there
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// folderOf is a path's folders, and its name.
func folderOf(p string) (folders []string, name string) {
	dir, name := path.Split(p)
	for f := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if f != "" {
			folders = append(folders, f)
		}
	}
	return folders, name
}
