// Package lint looks through a product's source folder for what will go wrong
// later: on the depot, on a client, on another system.
//
// Errors are what cannot work, warnings what mostly is a slip. It reads and
// never changes; the command line shows what it finds. That control data can be
// read is part of it, so a product id that Windows cannot hold as a folder is an
// error here as in a build.
package lint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Finding is one thing that is wrong.
type Finding struct {
	Severity string `json:"severity"` // "error" or "warning"
	Path     string `json:"path"`     // within the source
	Text     string `json:"text"`
}

const (
	// Error is what cannot work.
	Error = "error"
	// Warning is what mostly is a slip.
	Warning = "warning"
)

// longPath is from where on a path in a product comes near Windows' 260
// characters, with the cache's folder before it.
const longPath = 180

// maxScript is how much of a script is looked at, in bytes.
const maxScript = 4 << 20

type linter struct {
	ctx   context.Context // of the one Source call
	src   fs.FS
	found []Finding
	files map[string]bool // of CLIENT_DATA and the custom ones over it
	lower map[string]string
}

// Source looks through a source folder. The error says that it could not.
func Source(ctx context.Context, src fs.FS) ([]Finding, error) {
	l := &linter{ctx: ctx, src: src, files: map[string]bool{}, lower: map[string]string{}}
	tops, err := fs.ReadDir(src, ".")
	if err != nil {
		return nil, fmt.Errorf("cannot read the source: %w", err)
	}
	client := false
	for _, top := range tops {
		layer, custom, _ := strings.Cut(top.Name(), ".")
		switch archive.Layer(layer) {
		case archive.ClientData, archive.ServerData, archive.Opsi:
		default:
			l.add(Warning, top.Name(), "it does not become part of a package")
			continue
		}
		if !top.IsDir() {
			l.add(Error, top.Name(), "it is not a folder")
			continue
		}
		client = client || layer == string(archive.ClientData)
		if layer == string(archive.ServerData) {
			l.add(Warning, top.Name(), "a Fernwerk depot refuses files for the server itself")
		}
		if err := l.folder(top.Name(), archive.Layer(layer), custom != ""); err != nil {
			return nil, fmt.Errorf("cannot read the source: %w", err)
		}
	}
	if !client {
		l.add(Warning, string(archive.ClientData), "there is no such folder: clients get nothing")
	}
	l.control()
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		if a.Severity != b.Severity {
			return strings.Compare(a.Severity, b.Severity)
		}
		return strings.Compare(a.Path, b.Path)
	})
	return l.found, nil
}

func (l *linter) add(severity, path, text string) {
	l.found = append(l.found, Finding{severity, path, text})
}

// folder looks at everything in one of the source's folders.
func (l *linter) folder(root string, layer archive.Layer, custom bool) error {
	var entries []manifest.Entry
	err := fs.WalkDir(l.src, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		e := manifest.Entry{Path: name[len(root)+1:], Type: manifest.File}
		if err := manifest.CheckPath(e.Path); err != nil {
			l.add(Error, name, err.Error())
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			e.Type = manifest.Dir
		case mode.Type() == fs.ModeSymlink:
			if e.Type, e.Target = manifest.Link, l.link(name, e.Path, layer); e.Target == "" {
				return nil
			}
		case !mode.IsRegular():
			l.add(Error, name, "it is neither a file nor a folder")
			return nil
		case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
			l.add(Error, name, "it has setuid or setgid, which a package cannot carry")
		}
		l.leftover(name, path.Base(name), d.IsDir())
		if layer == archive.ClientData {
			if len(e.Path) > longPath {
				l.add(Warning, name, fmt.Sprintf("its path is %d characters long, Windows takes 260 with everything before it", len(e.Path)))
			}
			if e.Type != manifest.Dir {
				l.files[e.Path] = true
				l.lower[strings.ToLower(e.Path)] = e.Path
			}
		}
		entries = append(entries, e)
		if e.Type == manifest.File {
			return l.file(name, e.Path, layer)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(entries) == 0 && layer == archive.ClientData && !custom {
		l.add(Warning, root, "it is empty: clients get nothing")
	}
	m, err := manifest.New(entries)
	if err != nil {
		l.add(Error, root, err.Error())
		return nil
	}
	for _, p := range m.Portable() {
		l.add(Warning, root, p.Error())
	}
	return nil
}

// link checks a symbolic link and returns its target, "" if it cannot be taken.
func (l *linter) link(name, within string, layer archive.Layer) string {
	target, err := fs.ReadLink(l.src, name)
	if err == nil && layer == archive.Opsi {
		err = errors.New("links are not allowed here")
	}
	if err == nil {
		err = manifest.CheckLink(within, target)
	}
	if err != nil {
		l.add(Error, name, err.Error())
		return ""
	}
	if _, err := fs.Stat(l.src, name); err != nil {
		l.add(Warning, name, fmt.Sprintf("the link leads to %q, which is not there", target))
	}
	return target
}

// leftover warns of what editors and version control leave behind.
func (l *linter) leftover(name, base string, dir bool) {
	switch strings.ToLower(base) {
	case ".git", ".svn", ".hg", "__macosx":
		if dir {
			l.add(Warning, name, "it is left over from another tool, and would be packed")
		}
	case "thumbs.db", ".ds_store", "desktop.ini":
		l.add(Warning, name, "it is left over from a file browser, and would be packed")
	default:
		if strings.HasSuffix(base, "~") || strings.HasSuffix(base, ".swp") || strings.HasPrefix(base, "~$") {
			l.add(Warning, name, "it is left over from an editor, and would be packed")
		}
	}
}

// file looks into scripts.
func (l *linter) file(name, within string, layer archive.Layer) error {
	hook := layer == archive.Opsi && (within == "preinst" || within == "postinst")
	ending := strings.ToLower(path.Ext(within))
	switch ending {
	case ".sh", ".py", ".pl", ".cmd", ".bat", ".opsiscript", ".opsiinc", ".opsifunc", ".ins":
	default:
		if !hook {
			return nil
		}
	}
	text, err := l.read(name)
	if err != nil {
		return err
	}
	mark := bytes.HasPrefix(text, []byte("\ufeff"))
	crlf := bytes.Contains(text, []byte("\r\n"))
	if len(bytes.TrimSpace(text)) == 0 && !hook {
		l.add(Warning, name, "the script is empty")
		return nil
	}
	switch {
	case hook || ending == ".sh":
		if crlf {
			l.add(Error, name, "its lines end as on Windows (CRLF), a shell takes the CR for part of each command")
		}
		if mark {
			l.add(Error, name, "it starts with a byte order mark, which no shell understands")
		}
		if hook && !mark && !bytes.HasPrefix(text, []byte("#!")) {
			l.add(Error, name, "it does not start with #! and an interpreter, the server cannot run it")
		}
	case ending == ".py" || ending == ".pl":
		if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.HasPrefix(first, []byte("#!")) && bytes.HasSuffix(first, []byte("\r")) {
			l.add(Warning, name, "its first line ends as on Windows (CRLF), Unix will not find the interpreter")
		}
	case ending == ".cmd" || ending == ".bat":
		if mark {
			l.add(Error, name, "it starts with a byte order mark, which Windows takes for part of the first command")
		}
		if !crlf && bytes.Contains(text, []byte("\n")) {
			l.add(Warning, name, "its lines end as on Unix (LF), Windows then misses jumps to labels")
		}
	default:
		utf16 := bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff})
		if !utf16 && !utf8.Valid(text) && !bytes.Contains(bytes.ToLower(text[:min(len(text), 200)]), []byte("encoding=")) {
			l.add(Warning, name, "it is not UTF-8, and its first lines name no encoding")
		}
	}
	return nil
}

func (l *linter) read(name string) ([]byte, error) {
	f, err := l.src.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxScript))
}

// control checks what the control data says against what is there.
func (l *linter) control() {
	c, err := archive.Describe(l.src, archive.Options{})
	if err != nil {
		text := err.Error()
		if hint := fleet.HintOf(err); hint != "" {
			text += " (" + hint + ")"
		}
		l.add(Error, string(archive.Opsi), text)
		return
	}
	l.older(c)
	p := c.Product
	at := path.Join(string(archive.Opsi), "control")
	if _, err := fs.Stat(l.src, at+".toml"); err == nil {
		at += ".toml"
	}
	scripts := 0
	for key, script := range map[string]string{
		"setupScript": p.SetupScript, "uninstallScript": p.UninstallScript, "updateScript": p.UpdateScript, "alwaysScript": p.AlwaysScript,
		"onceScript": p.OnceScript, "customScript": p.CustomScript, "userLoginScript": p.UserLoginScript,
	} {
		if script == "" {
			continue
		}
		scripts++
		want := path.Clean(strings.ReplaceAll(script, `\`, "/"))
		if l.files[want] {
			continue
		}
		if near, ok := l.lower[strings.ToLower(want)]; ok {
			l.add(Error, at, fmt.Sprintf("%s: %q is called %q in CLIENT_DATA, which only Windows takes for the same", key, script, near))
			continue
		}
		l.add(Error, at, fmt.Sprintf("%s: %q is not in CLIENT_DATA", key, script))
	}
	if scripts == 0 && p.Type == fleet.LocalbootProduct {
		l.add(Warning, at, "it names no script: no action can be asked for")
	}
	if p.UninstallScript == "" && p.SetupScript != "" {
		l.add(Warning, at, "there is a setupScript and no uninstallScript")
	}
}

// older compares the two spellings where both are there.
func (l *linter) older(c *control.Control) {
	text, err := fs.ReadFile(l.src, "OPSI/control")
	if err != nil {
		return
	}
	old, err := control.ParseLegacy(text)
	if err != nil {
		return // Describe has said so
	}
	if old.Product.ID != c.Product.ID {
		l.add(Error, "OPSI/control", fmt.Sprintf("it describes %s, control.toml %s", old.Product.ID, c.Product.ID))
	} else if old.Version() != c.Version() {
		l.add(Warning, "OPSI/control", fmt.Sprintf("it states version %s, control.toml %s, which counts", old.Version(), c.Version()))
	}
}
