package depot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

const (
	// maxPackage bounds what is received, in bytes.
	maxPackage = 64 << 30
	// reserve stays free on the disk, in bytes: the database may live there.
	reserve = 32 << 20
	// probeEvery is after how many written bytes the free space is asked again.
	probeEvery = 16 << 20
)

// ErrFull says that the depot's disk has no room.
var ErrFull = errors.New("the disk is full")

// full gives the disk's own word for it our code.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return noRoom(fmt.Errorf("%w: %w", ErrFull, err))
	}
	return err
}

func noRoom(err error) error {
	return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "%w", err), "make room on the depot's disk, then install again; nothing was changed")
}

// room refuses to write need bytes where they do not fit.
func (in *installation) room(need int64) error {
	free, err := in.free(in.Dir)
	if err != nil {
		return err
	}
	if need = max(need, 0); free < uint64(need)+reserve {
		return noRoom(fmt.Errorf("%w: %d MiB are free, at least %d are needed", ErrFull, free>>20, (need+reserve)>>20))
	}
	return nil
}

// receive writes the package to staging. Unpacked it needs about its own size
// once more, and mostly more than that. It ends with ctx: what a server receives
// that lost its turn is thrown away.
func (in *installation) receive(ctx context.Context, body io.Reader, size int64) error {
	if size > maxPackage {
		return tooLarge()
	}
	if err := in.room(2 * size); err != nil {
		return err
	}
	f, err := os.OpenFile(in.staged(packFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	src := &incoming{ctx: ctx, r: io.LimitReader(body, maxPackage+1)}
	n, err := io.CopyBuffer(&probed{w: f, in: in}, src, make([]byte, 1<<20))
	err = errors.Join(err, f.Close())
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case src.err != nil:
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot receive the package: %w", src.err), "send it again")
	case err != nil:
		return fmt.Errorf("cannot receive the package: %w", err)
	case n > maxPackage:
		return tooLarge()
	}
	return nil
}

func tooLarge() error {
	return fleet.Errorf(fleet.TooLarge, "the package is larger than %d GiB", maxPackage>>30)
}

// incoming remembers that it was the sender who failed, and not the disk.
type incoming struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (i *incoming) Read(p []byte) (int, error) {
	err := i.ctx.Err()
	n := 0
	if err == nil {
		n, err = i.r.Read(p)
	}
	if err != nil && err != io.EOF {
		i.err = err
	}
	return n, err
}

// probed writes, and looks after the free space now and then.
type probed struct {
	w       io.Writer
	in      *installation
	written int64
}

func (p *probed) Write(b []byte) (int, error) {
	if err := p.count(int64(len(b))); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

func (p *probed) count(n int64) error {
	if p.written += n; p.written < probeEvery {
		return nil
	}
	p.written = 0
	return p.in.room(0)
}

// unpack checks the package as a whole and writes its layers to staging.
// Nothing of it has run before that has succeeded.
func (in *installation) unpack(ctx context.Context) error {
	f, err := os.Open(in.staged(packFile))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := archive.Open(f, info.Size(), archive.Limits{})
	if err != nil {
		return broken(err)
	}
	in.control = p.Control
	if holds := archive.NameOf(p.Control); !in.name.Holds(p.Control) {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "the file is named %s, but the package in it is %s", in.name, holds),
			"name the file %s", holds)
	}
	if err := in.writeControl(p.Files); err != nil {
		return err
	}
	w, err := newTreeWriter(ctx, in)
	if err != nil {
		return err
	}
	defer w.root.Close()
	if in.carried, err = p.Unpack(ctx, w.entry); err != nil {
		if w.err != nil {
			return w.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return broken(err)
	}
	return os.Remove(f.Name()) // its room is needed
}

// broken is an error of the package, not of ours.
func broken(err error) error {
	if code := fleet.CodeOf(err); code != fleet.Internal {
		return err
	}
	if fleet.HintOf(err) != "" {
		return fleet.Errorf(fleet.Invalid, "%w", err)
	}
	return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%w", err), "build the package again with: fernwerk package build; or copy it again")
}

// writeControl puts the OPSI layer where the scripts run.
func (in *installation) writeControl(files map[string][]byte) error {
	if err := os.Mkdir(in.staged(controlDir), 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(in.staged(controlDir))
	if err != nil {
		return err
	}
	defer root.Close()
	for name, data := range files {
		if err := root.MkdirAll(filepath.ToSlash(filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		perm := os.FileMode(0o644)
		if name == "preinst" || name == "postinst" {
			in.scripts[name] = true
			perm = 0o755
		}
		if err := root.WriteFile(name, data, perm); err != nil {
			return err
		}
	}
	return nil
}

// treeWriter makes the entries of CLIENT_DATA in staging.
type treeWriter struct {
	ctx  context.Context
	in   *installation
	root *os.Root
	out  probed
	buf  []byte
	err  error // of the disk, not of the package
}

func newTreeWriter(ctx context.Context, in *installation) (*treeWriter, error) {
	if err := os.Mkdir(in.staged(treeDir), 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(in.staged(treeDir))
	if err != nil {
		return nil, err
	}
	return &treeWriter{ctx: ctx, in: in, root: root, out: probed{in: in}, buf: make([]byte, 256<<10)}, nil
}

func (w *treeWriter) entry(layer archive.Layer, e manifest.Entry, content io.Reader) error {
	if layer == archive.ServerData {
		if e.Type == manifest.Dir {
			return nil
		}
		return fleet.WithHint(fleet.Errorf(fleet.NotHere, "not supported yet: files for the server itself (SERVER_DATA)"),
			"move them to CLIENT_DATA, or leave them out")
	}
	if err := w.out.count(4096); err != nil { // of the file system's own, roughly
		return w.fault(err)
	}
	switch e.Type {
	case manifest.Dir:
		return w.fault(w.root.Mkdir(e.Path, 0o755))
	case manifest.Link:
		return w.fault(w.root.Symlink(e.Target, e.Path))
	}
	perm := os.FileMode(0o644)
	if e.Type == manifest.Exec {
		perm = 0o755
	}
	f, err := w.root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return w.fault(err)
	}
	defer f.Close()
	w.out.w = f
	src := &incoming{ctx: w.ctx, r: content}
	_, err = io.CopyBuffer(&w.out, src, w.buf)
	if src.err != nil {
		return src.err
	}
	return w.fault(errors.Join(err, f.Close()))
}

func (w *treeWriter) fault(err error) error {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("cannot write the tree: %w", err)
	}
	return err
}
