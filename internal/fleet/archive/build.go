package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Temp is storage for one compressed layer; its size must be known before it
// goes into the package. A temporary file is one. Build closes it.
type Temp interface {
	io.Reader
	io.Writer
	io.Seeker
	io.Closer
}

// Options is what a build needs beside its source.
type Options struct {
	Temp        func() (Temp, error)
	ModTime     time.Time        // of every entry, to the second; zero means 1970-01-01
	Progress    func(done int64) // bytes of content packed so far; may be nil
	Compression Compression      // of the layers

	// Custom packs the folders OPSI.<custom>, SERVER_DATA.<custom> and
	// CLIENT_DATA.<custom> as layers over the others. CustomOnly leaves those
	// others out; OPSI stays if there is no control data in the custom one.
	Custom     string
	CustomOnly bool

	// Versions to state instead of those in the control data; "" keeps them.
	ProductVersion, PackageVersion string
}

// Built says what was packed.
type Built struct {
	Control  *control.Control
	Manifest *manifest.Manifest // of CLIENT_DATA
}

// Build writes the package of a product's source folder: OPSI/ with its control
// data, CLIENT_DATA/ and, if there is one, SERVER_DATA/. An OPSI/manifest in the
// source is replaced. Symbolic links need a source that is an fs.ReadLinkFS; a
// file that changes while it is read is an error. The manifest is that of what
// comes out, custom layers included.
func Build(ctx context.Context, w io.Writer, src fs.FS, opts Options) (*Built, error) {
	b := &builder{ctx: ctx, src: src, opts: opts}
	b.opts.ModTime = opts.ModTime.UTC().Truncate(time.Second)
	if opts.ModTime.IsZero() {
		b.opts.ModTime = time.Unix(0, 0).UTC()
	}
	defer b.close()
	built, err := b.build(w)
	if err != nil {
		return nil, fmt.Errorf("cannot build the package: %w", err)
	}
	return built, nil
}

// Describe returns the control data that a build with these options will state.
func Describe(src fs.FS, opts Options) (*control.Control, error) {
	b := &builder{src: src, opts: opts}
	heads, err := b.folders(Opsi)
	if err != nil {
		return nil, err
	}
	return b.control(heads)
}

type builder struct {
	ctx      context.Context // of the one Build call that this value lives for
	src      fs.FS
	opts     Options
	done     int64
	temps    []Temp
	replaced map[string][]byte // control files with other versions
}

func (b *builder) close() {
	for _, t := range b.temps {
		_ = t.Close() // its content has been copied, or the build has failed
	}
}

// folder is one of the source that becomes a member of the package.
type folder struct {
	name  string
	layer Layer
}

// folders lists what there is of a layer in the source, the base first.
func (b *builder) folders(layer Layer) ([]folder, error) {
	var out []folder
	if b.opts.Custom != "" {
		if _, err := parseMember(string(layer) + "." + b.opts.Custom + ".tar"); err != nil {
			return nil, fmt.Errorf("%q cannot be the name of a custom package: letters, digits and . _ + - are allowed", b.opts.Custom)
		}
		name := string(layer) + "." + b.opts.Custom
		if there, err := b.has(name); err != nil {
			return nil, err
		} else if there {
			out = append(out, folder{name, layer})
		}
	}
	if b.opts.CustomOnly && (layer != Opsi || len(out) > 0 && b.describes(out[0])) {
		return out, nil
	}
	there, err := b.has(string(layer))
	if err != nil {
		return nil, err
	}
	if there {
		out = append([]folder{{string(layer), layer}}, out...)
	}
	return out, nil
}

// describes tells whether an OPSI folder holds control data.
func (b *builder) describes(f folder) bool {
	for _, name := range []string{"control.toml", "control"} {
		if _, err := fs.Stat(b.src, path.Join(f.name, name)); err == nil {
			return true
		}
	}
	return false
}

func (b *builder) has(name string) (bool, error) {
	info, err := fs.Lstat(b.src, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// A walk would follow a link here, and only here.
	if !info.IsDir() {
		return false, fmt.Errorf("%s is not a folder", name)
	}
	return true, nil
}

func (b *builder) build(w io.Writer) (*Built, error) {
	if b.opts.CustomOnly && b.opts.Custom == "" {
		return nil, errors.New("custom only needs the name of the custom package")
	}
	heads, err := b.folders(Opsi)
	if err != nil {
		return nil, err
	}
	control, err := b.control(heads)
	if err != nil {
		return nil, err
	}
	// The data layers go first, because the OPSI layer carries their manifest.
	m := &manifest.Manifest{}
	var datas []folder
	custom := false
	for _, layer := range []Layer{ServerData, ClientData} {
		folders, err := b.folders(layer)
		if err != nil {
			return nil, err
		}
		var entries []manifest.Entry
		for _, f := range folders {
			custom = custom || f.name != string(layer)
			own, err := b.packData(f)
			if err != nil {
				return nil, err
			}
			if entries, err = overlay(entries, own); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		datas = append(datas, folders...)
		if layer == ClientData {
			if m, err = manifest.New(entries); err != nil {
				return nil, err
			}
		}
	}
	if b.opts.Custom != "" && !custom && (len(heads) == 0 || heads[len(heads)-1].name == string(Opsi)) {
		return nil, fmt.Errorf("there is no CLIENT_DATA.%[1]s, OPSI.%[1]s or SERVER_DATA.%[1]s", b.opts.Custom)
	}
	out := tar.NewWriter(w)
	for i, f := range heads {
		var head bytes.Buffer
		var text []byte
		if i == len(heads)-1 { // the last wins
			text = m.Text()
		}
		if err := b.packOpsi(&head, f, text); err != nil {
			return nil, err
		}
		if err := b.member(out, f, bytes.NewReader(head.Bytes())); err != nil {
			return nil, err
		}
	}
	for i, f := range datas {
		if err := b.member(out, f, b.temps[i]); err != nil {
			return nil, err
		}
	}
	return &Built{Control: control, Manifest: m}, out.Close()
}

// packData packs a folder of a data layer into a temporary file of its own.
func (b *builder) packData(f folder) ([]manifest.Entry, error) {
	objects, err := b.list(f)
	if err != nil {
		return nil, err
	}
	temp, err := b.opts.Temp()
	if err != nil {
		return nil, fmt.Errorf("cannot get temporary storage: %w", err)
	}
	b.temps = append(b.temps, temp)
	p, err := newPacker(temp, b.opts.Compression, b.opts.ModTime)
	if err != nil {
		return nil, err
	}
	if err := b.pack(p, f, objects); err != nil {
		return nil, err
	}
	return p.entries, p.close()
}

// overlay is a tree with another over it, by the rules of reading.
func overlay(under, over []manifest.Entry) ([]manifest.Entry, error) {
	above := make(map[string]manifest.Type, len(over))
	for _, e := range over {
		above[e.Path] = e.Type
	}
	all := slices.Clone(over)
	for _, e := range under {
		typ, ok := above[e.Path]
		if ok && (typ == manifest.Dir) != (e.Type == manifest.Dir) {
			return nil, fmt.Errorf("%q is a %v, and a %v below it", e.Path, typ, e.Type)
		}
		if !ok {
			all = append(all, e)
		}
	}
	return all, nil
}

// control reads the control data of the source, and changes the versions.
func (b *builder) control(heads []folder) (*control.Control, error) {
	files := map[string][]byte{}
	for _, f := range heads {
		for _, name := range []string{"control", "control.toml", "changelog.txt", "changelog"} {
			data, err := fs.ReadFile(b.src, path.Join(f.name, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			files[name] = data
		}
	}
	c, err := control.Read(files)
	if err != nil || b.opts.ProductVersion == "" && b.opts.PackageVersion == "" {
		return c, err
	}
	if c, err = c.WithVersion(cmp.Or(b.opts.ProductVersion, c.Product.ProductVersion), cmp.Or(b.opts.PackageVersion, c.Product.PackageVersion)); err != nil {
		return nil, err
	}
	b.replaced = map[string][]byte{"control.toml": c.TOML()}
	if _, old := files["control"]; old {
		if b.replaced["control"], err = c.Legacy(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// member copies a packed layer into the package.
func (b *builder) member(out *tar.Writer, f folder, packed io.ReadSeeker) error {
	size, err := packed.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = packed.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name + b.opts.Compression.ending(), Size: size, Mode: 0o644, ModTime: b.opts.ModTime})
	}
	if err == nil {
		_, err = io.Copy(out, packed)
	}
	if err != nil {
		return fmt.Errorf("cannot add %s: %w", f.name, err)
	}
	return nil
}

// found is an object of the source.
type found struct {
	path string // within the layer
	info fs.FileInfo
}

// list names all objects of a folder in bytewise order.
func (b *builder) list(in folder) ([]found, error) {
	root := in.name
	var all []found
	err := fs.WalkDir(b.src, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := found{name[len(root)+1:], info}
		if err := manifest.CheckPath(f.path); err != nil {
			return fmt.Errorf("%s: %w", root, err)
		}
		all = append(all, f)
		return nil
	})
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.path, b.path) })
	return all, err
}

// pack adds objects to a layer.
func (b *builder) pack(p *packer, in folder, all []found) error {
	for _, f := range all {
		if err := b.add(p, in, f); err != nil {
			return fmt.Errorf("cannot add %s/%s: %w", in.name, f.path, err)
		}
	}
	return nil
}

// packOpsi writes an OPSI layer. It holds no links, and the manifest if there
// is a text of one.
func (b *builder) packOpsi(w io.Writer, in folder, text []byte) error {
	all, err := b.list(in)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(f found) bool { return f.path == ManifestFile })
	at, _ := slices.BinarySearchFunc(all, ManifestFile, func(f found, name string) int { return cmp.Compare(f.path, name) })
	p, err := newPacker(w, b.opts.Compression, b.opts.ModTime)
	if err != nil {
		return err
	}
	if err := b.pack(p, in, all[:at]); err != nil {
		return err
	}
	if text != nil {
		if err := p.file(ManifestFile, manifest.File, int64(len(text)), bytes.NewReader(text)); err != nil {
			return err
		}
	}
	if err := b.pack(p, in, all[at:]); err != nil {
		return err
	}
	if _, err := manifest.New(p.entries); err != nil { // a folder named manifest
		return fmt.Errorf("%s: %w", in.name, err)
	}
	return p.close()
}

func (b *builder) add(p *packer, within folder, f found) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if text, ok := b.replaced[f.path]; ok && within.layer == Opsi && f.info.Mode().IsRegular() {
		return p.file(f.path, manifest.File, int64(len(text)), bytes.NewReader(text))
	}
	mode := f.info.Mode()
	name := path.Join(within.name, f.path)
	switch {
	case mode.IsDir():
		return p.dir(f.path)
	case mode.Type() == fs.ModeSymlink && within.layer != Opsi:
		target, err := fs.ReadLink(b.src, name)
		if err != nil {
			return err
		}
		return p.link(f.path, target)
	case !mode.IsRegular():
		return fmt.Errorf("it is neither a file nor a folder (%v)", mode.Type())
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return errors.New("it has setuid or setgid, which a package cannot carry")
	}
	in, err := b.src.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	typ := manifest.File
	if mode&0o111 != 0 {
		typ = manifest.Exec
	}
	return p.file(f.path, typ, f.info.Size(), progress{in, b})
}

// progress counts what is read, and stops a build that nobody waits for.
type progress struct {
	r io.Reader
	b *builder
}

func (p progress) Read(buf []byte) (int, error) {
	if err := p.b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(buf)
	p.b.done += int64(n)
	if p.b.opts.Progress != nil && n > 0 {
		p.b.opts.Progress(p.b.done)
	}
	return n, err
}
