package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

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
	Temp     func() (Temp, error)
	ModTime  time.Time        // of every entry, to the second; zero means 1970-01-01
	Progress func(done int64) // bytes of content packed so far; may be nil
}

// Built says what was packed.
type Built struct {
	Control  *control.Control
	Manifest *manifest.Manifest // of CLIENT_DATA
}

// Build writes the package of a product's source folder: OPSI/ with its control
// data, CLIENT_DATA/ and, if there is one, SERVER_DATA/. An OPSI/manifest in the
// source is replaced. Symbolic links need a source that is an fs.ReadLinkFS; a
// file that changes while it is read is an error.
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

type builder struct {
	ctx   context.Context // of the one Build call that this value lives for
	src   fs.FS
	opts  Options
	done  int64
	temps []Temp
}

func (b *builder) close() {
	for _, t := range b.temps {
		_ = t.Close() // its content has been copied, or the build has failed
	}
}

func (b *builder) build(w io.Writer) (*Built, error) {
	control, err := b.control()
	if err != nil {
		return nil, err
	}
	// The data layers go first, because the OPSI layer carries their manifest.
	m := &manifest.Manifest{}
	packed := map[Layer]Temp{}
	for _, layer := range []Layer{ServerData, ClientData} {
		objects, err := b.list(layer)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		temp, err := b.opts.Temp()
		if err != nil {
			return nil, fmt.Errorf("cannot get temporary storage: %w", err)
		}
		b.temps = append(b.temps, temp)
		packed[layer] = temp
		p, err := newPacker(temp, b.opts.ModTime)
		if err != nil {
			return nil, err
		}
		if err := b.pack(p, layer, objects); err != nil {
			return nil, err
		}
		if err := p.close(); err != nil {
			return nil, err
		}
		if layer == ClientData {
			if m, err = manifest.New(p.entries); err != nil {
				return nil, err
			}
		}
	}
	var head bytes.Buffer
	if err := b.packOpsi(&head, m.Text()); err != nil {
		return nil, err
	}
	out := tar.NewWriter(w)
	if err := b.member(out, Opsi, bytes.NewReader(head.Bytes())); err != nil {
		return nil, err
	}
	for _, layer := range []Layer{ServerData, ClientData} {
		if temp, ok := packed[layer]; ok {
			if err := b.member(out, layer, temp); err != nil {
				return nil, err
			}
		}
	}
	return &Built{Control: control, Manifest: m}, out.Close()
}

// control reads the control data of the source.
func (b *builder) control() (*control.Control, error) {
	files := map[string][]byte{}
	for _, name := range []string{"control", "control.toml", "changelog.txt", "changelog"} {
		data, err := fs.ReadFile(b.src, path.Join(string(Opsi), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return control.Read(files)
}

// member copies a packed layer into the package.
func (b *builder) member(out *tar.Writer, layer Layer, packed io.ReadSeeker) error {
	size, err := packed.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = packed.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: string(layer) + ".tar.zstd", Size: size, Mode: 0o644, ModTime: b.opts.ModTime})
	}
	if err == nil {
		_, err = io.Copy(out, packed)
	}
	if err != nil {
		return fmt.Errorf("cannot add %s: %w", layer, err)
	}
	return nil
}

// found is an object of the source.
type found struct {
	path string // within the layer
	info fs.FileInfo
}

// list names all objects of a layer's folder in bytewise order.
func (b *builder) list(layer Layer) ([]found, error) {
	root := string(layer)
	// The walk would follow a link here, and only here.
	if info, err := fs.Lstat(b.src, root); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", root)
	}
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
			return fmt.Errorf("%s: %w", layer, err)
		}
		all = append(all, f)
		return nil
	})
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.path, b.path) })
	return all, err
}

// pack adds objects to a layer.
func (b *builder) pack(p *packer, layer Layer, all []found) error {
	for _, f := range all {
		if err := b.add(p, layer, f); err != nil {
			return fmt.Errorf("cannot add %s/%s: %w", layer, f.path, err)
		}
	}
	return nil
}

// packOpsi writes the OPSI layer. It holds no links, and the manifest.
func (b *builder) packOpsi(w io.Writer, text []byte) error {
	all, err := b.list(Opsi)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(f found) bool { return f.path == ManifestFile })
	at, _ := slices.BinarySearchFunc(all, ManifestFile, func(f found, name string) int { return cmp.Compare(f.path, name) })
	p, err := newPacker(w, b.opts.ModTime)
	if err != nil {
		return err
	}
	if err := b.pack(p, Opsi, all[:at]); err != nil {
		return err
	}
	if err := p.file(ManifestFile, manifest.File, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	if err := b.pack(p, Opsi, all[at:]); err != nil {
		return err
	}
	if _, err := manifest.New(p.entries); err != nil { // a folder named manifest
		return fmt.Errorf("%s: %w", Opsi, err)
	}
	return p.close()
}

func (b *builder) add(p *packer, layer Layer, f found) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	mode := f.info.Mode()
	name := path.Join(string(layer), f.path)
	switch {
	case mode.IsDir():
		return p.dir(f.path)
	case mode.Type() == fs.ModeSymlink && layer != Opsi:
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
