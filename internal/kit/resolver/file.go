package resolver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

const (
	beginMark = "# fernwerk-agent: begin"
	endMark   = "# fernwerk-agent: end"
)

// others are what others wrote of a text. A mark that has no end, because somebody
// cut the file, takes its own line only.
func others(text string) string {
	var b strings.Builder
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], beginMark) {
			end := slices.IndexFunc(lines[i:], func(l string) bool { return strings.TrimSuffix(l, "\n") == endMark })
			next := slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.HasPrefix(l, beginMark) })
			if end > 0 && (next < 0 || end <= next) {
				i += end
			}
			continue
		}
		if strings.TrimSuffix(lines[i], "\n") == endMark {
			continue
		}
		b.WriteString(lines[i])
	}
	return b.String()
}

// lines are the parts that stand in resolv.conf.
func (s *state) lines() (all []Noted) {
	for _, p := range s.Parts {
		if p.By == File {
			all = append(all, p)
		}
	}
	return all
}

// text is resolv.conf with our parts around what others wrote.
func (s *state) text(others string) string {
	var owners, servers, search []string
	for _, p := range s.lines() {
		owners = append(owners, p.Owner)
		for _, a := range p.Servers {
			servers = appendNew(servers, "nameserver "+a.String()+"\n")
		}
		for _, d := range p.Search {
			search = appendNew(search, d)
		}
	}
	if len(owners) == 0 {
		return others
	}
	begin, end := beginMark+" ("+strings.Join(owners, ", ")+")\n", endMark+"\n"
	text := others
	if len(servers) > 0 {
		text = begin + strings.Join(servers, "") + end + text
	}
	if len(search) == 0 {
		return text
	}
	for _, d := range searched(others) {
		search = appendNew(search, d)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + begin + "search " + strings.Join(search, " ") + "\n" + end
}

func appendNew(all []string, s string) []string {
	if slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

// searched are the domains that count in a resolv.conf: those of the last line.
func searched(text string) (domains []string) {
	for line := range strings.Lines(text) {
		word := strings.Fields(line)
		if len(word) > 1 && (word[0] == "search" || word[0] == "domain") {
			domains = word[1:]
		}
	}
	return domains
}

// place is resolv.conf, or what it is a link to.
func (r Resolver) place() (string, error) {
	path := r.Path
	if path == "" {
		path = standard
	}
	at, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if to, err := os.Readlink(path); err == nil {
			return "", fmt.Errorf("%s is a link to %s, which is not there", path, to)
		}
		return path, nil
	}
	return at, err
}

func (r Resolver) read() (string, error) {
	path, err := r.place()
	if err != nil {
		return "", err
	}
	return readText(path)
}

func readText(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("%s has %d bytes", path, len(text))
	}
	return string(text), nil
}

// edit makes resolv.conf what the state says.
func (r Resolver) edit(s *state) error {
	path, err := r.place()
	if err != nil {
		return err
	}
	is, err := readText(path)
	if err != nil {
		return err
	}
	from := others(is)
	if w := s.Writing; w != nil && w.torn(is) {
		from = others(w.Was)
	}
	text := s.text(from)
	if text == is && s.Writing == nil {
		return nil
	}
	perm := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		perm = info.Mode().Perm()
	}
	err = atomicfile.WriteFile(path, []byte(text), perm)
	if errors.Is(err, syscall.EBUSY) { // it is mounted there, as in a container: only its content can be another
		s.Writing = &writing{is, text}
		if err := r.save(*s); err != nil {
			return err
		}
		err = overwrite(path, text)
	}
	if err != nil {
		return err
	}
	if s.Writing != nil {
		s.Writing = nil
		return r.save(*s)
	}
	return nil
}

// torn tells whether a text is what a death in the middle of the writing leaves: the
// beginning of the new one and the rest of the old one.
func (w writing) torn(is string) bool {
	n := 0
	for n < min(len(is), len(w.Text)) && is[n] == w.Text[n] {
		n++
	}
	return is[n:] == w.Was[min(n, len(w.Was)):]
}

// overwrite writes a file in place, and at no time an empty one.
func overwrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
