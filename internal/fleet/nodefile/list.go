package nodefile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Limits.
const (
	MaxSize    = 1 << 20   // bytes of a file's content
	MaxFiles   = 64        // of a type
	MaxList    = 256 << 10 // bytes of a list
	MaxRestart = 8         // units of a file
)

// File is one file of a list.
type File struct {
	Path  string `json:"path"`  // absolute and clean
	Mode  Mode   `json:"mode"`  // at most 0775: nobody writes who is not named
	Owner string `json:"owner"` // names, which the node has to know
	Group string `json:"group"`
	Size  int64  `json:"size"` // of the content, in bytes
	// SHA256 is the digest of the blob in hexadecimal; of a file that is no secret
	// the blob is the content.
	SHA256 string `json:"sha256"`
	Secret bool   `json:"secret"`
	// Block keeps the content between two marks in a file that others write, too.
	Block bool `json:"block"`
	// Restart are services to restart after a change if they run, without
	// ".service", in order.
	Restart []string `json:"restart"`
}

// List is what the nodes of a type have.
type List struct {
	NodeType string
	Files    []File // by path, each once
}

// version is that of the form.
const version = 1

// form is a list as it is printed.
type form struct {
	Version  int    `json:"fernwerkNodeFiles"`
	NodeType string `json:"nodeType"`
	Files    []File `json:"files"`
}

// prefix of the targets that are lists.
const prefix = "files/"

// Target is the name under which the list of a node type is signed.
func Target(nodeType string) string { return prefix + nodeType }

// Mode is a file's permissions; the text is octal, as "0600".
type Mode uint32

// ParseMode reads permissions in their one spelling.
func ParseMode(text string) (Mode, error) {
	n, err := strconv.ParseUint(text, 8, 16)
	m := Mode(n)
	if err != nil || m.String() != text {
		return 0, fleet.Errorf(fleet.Invalid, "%q is no mode such as 0600", clip(text))
	}
	return m, m.valid()
}

func (m Mode) valid() error {
	switch {
	case m&^0o777 != 0:
		return fleet.Errorf(fleet.Invalid, "the mode %s has more than permissions to read, write and execute", m)
	case m&0o002 != 0:
		return fleet.Errorf(fleet.Invalid, "the mode %s lets everybody write", m)
	case m&0o400 == 0:
		return fleet.Errorf(fleet.Invalid, "the mode %s does not let its owner read", m)
	}
	return nil
}

func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText prints a mode.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is [ParseMode].
func (m *Mode) UnmarshalText(text []byte) (err error) { *m, err = ParseMode(string(text)); return err }

// Parse reads a list; what it takes is what [List.Bytes] prints.
func Parse(data []byte) (*List, error) {
	fail := func(err error) (*List, error) {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the list of a node type's files: %w", err)
	}
	if len(data) > MaxList {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot read the list of a node type's files: it has more than %d bytes", MaxList)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var f form
	if err := d.Decode(&f); err != nil {
		return fail(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fail(fmt.Errorf("more follows after its end"))
	}
	if f.Version != version {
		return fail(fmt.Errorf("it has the form %d, and %d is known here", f.Version, version))
	}
	l := &List{NodeType: f.NodeType, Files: f.Files}
	printed, err := l.Bytes()
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(printed, data) {
		return fail(fmt.Errorf("it is not in its one spelling"))
	}
	return l, nil
}

// Bytes prints a list that is in order.
func (l *List) Bytes() ([]byte, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	f := form{Version: version, NodeType: l.NodeType, Files: slices.Clone(l.Files)}
	if f.Files == nil {
		f.Files = []File{}
	}
	for i := range f.Files {
		if f.Files[i].Restart == nil {
			f.Files[i].Restart = []string{}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	if b.Len() > MaxList {
		return nil, fleet.Errorf(fleet.TooLarge, "the list has more than %d bytes", MaxList)
	}
	return b.Bytes(), nil
}

// Check says what is wrong with a list.
func (l *List) Check() error {
	if err := enrol.ValidNodeType(l.NodeType); err != nil {
		return err
	}
	if len(l.Files) > MaxFiles {
		return fleet.Errorf(fleet.TooLarge, "%s has more than %d files", l.NodeType, MaxFiles)
	}
	for i, f := range l.Files {
		if err := f.Check(); err != nil {
			return fleet.Errorf(fleet.CodeOf(err), "%s: %w", clip(f.Path), err)
		}
		if i > 0 && l.Files[i-1].Path >= f.Path {
			return fleet.Errorf(fleet.Invalid, "%s is not in order, or there twice", f.Path)
		}
		for _, o := range l.Files[:i] {
			if strings.HasPrefix(f.Path, o.Path+"/") {
				return fleet.Errorf(fleet.Invalid, "%s would be in a folder that is a file", f.Path)
			}
		}
	}
	return nil
}

// Check says what is wrong with a file.
func (f File) Check() error {
	if err := ValidPath(f.Path); err != nil {
		return err
	}
	if err := f.Mode.valid(); err != nil {
		return err
	}
	for _, name := range []string{f.Owner, f.Group} {
		if !accountName.MatchString(name) {
			return fleet.Errorf(fleet.Invalid, "%q is no name of a user or group", clip(name))
		}
	}
	sum, err := hex.DecodeString(f.SHA256)
	switch {
	case err != nil || len(sum) != 32 || hex.EncodeToString(sum) != f.SHA256:
		return fleet.Errorf(fleet.Invalid, "its digest is not 64 hexadecimal digits")
	case f.Size < 0 || f.Size > MaxSize:
		return fleet.Errorf(fleet.TooLarge, "it has %d bytes, and may have %d", f.Size, MaxSize)
	case f.Secret && f.Mode&0o004 != 0:
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "it is a secret, and the mode %s lets everybody read", f.Mode), "give it the mode 0600, or 0640 with a group")
	case len(f.Restart) > MaxRestart:
		return fleet.Errorf(fleet.TooLarge, "it restarts more than %d services", MaxRestart)
	}
	for i, unit := range f.Restart {
		if err := ValidUnit(unit); err != nil {
			return err
		}
		if slices.Contains(f.Restart[:i], unit) {
			return fleet.Errorf(fleet.Invalid, "it restarts %s twice", unit)
		}
	}
	return nil
}

// Same tells whether a file is to be the same in every respect.
func (f File) Same(o File) bool {
	return f.Path == o.Path && f.Mode == o.Mode && f.Owner == o.Owner && f.Group == o.Group && f.Size == o.Size && f.SHA256 == o.SHA256 &&
		f.Secret == o.Secret && f.Block == o.Block && slices.Equal(f.Restart, o.Restart)
}

// With is the list with a file, in the place of one that has its path.
func (l *List) With(f File) *List {
	out := l.Without(f.Path)
	i, _ := slices.BinarySearchFunc(out.Files, f.Path, func(o File, path string) int { return strings.Compare(o.Path, path) })
	out.Files = slices.Insert(out.Files, i, f)
	return out
}

// Without is the list without a path.
func (l *List) Without(path string) *List {
	return &List{NodeType: l.NodeType, Files: slices.DeleteFunc(slices.Clone(l.Files), func(o File) bool { return o.Path == path })}
}

// Find is the file with a path.
func (l *List) Find(path string) (File, bool) {
	i := slices.IndexFunc(l.Files, func(o File) bool { return o.Path == path })
	if i < 0 {
		return File{}, false
	}
	return l.Files[i], true
}

// Holds tells whether a file of the list has a digest.
func (l *List) Holds(sum string) bool {
	return slices.ContainsFunc(l.Files, func(f File) bool { return f.SHA256 == sum })
}
