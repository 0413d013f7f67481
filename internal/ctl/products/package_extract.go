package products

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) packageExtractCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "extract FILE", Args: tool.Args,
		Short: "Unpack a package file into a source folder",
		Long: `Unpack a package file into a new source folder, with OPSI, CLIENT_DATA and
SERVER_DATA as "package build" wants them. Custom layers are laid over the
others. A damaged package leaves nothing behind.`,
		RunE: func(c *cobra.Command, given []string) error { return t.packageExtract(c.Context(), given[0], out) },
	}
	c.Flags().StringVarP(&out, "output", "o", "", "the folder to make (default ./<id>)")
	return c
}

func (t command) packageExtract(ctx context.Context, file, out string) error {
	p, f, err := openPackage(ctx, file)
	if err != nil {
		return err
	}
	defer f.Close()
	if out == "" {
		out = string(p.Control.Product.ID)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot extract to %s: it is there already", out), "name another folder with -o, or remove it")
	}
	// Beside its place, so that the last step is one rename.
	temp, err := os.MkdirTemp(filepath.Dir(out), ".fernwerk-extract-*")
	if err != nil {
		return fmt.Errorf("cannot extract: %w", err)
	}
	defer os.RemoveAll(temp)
	root, err := os.OpenRoot(temp)
	if err != nil {
		return fmt.Errorf("cannot extract: %w", err)
	}
	defer root.Close()
	if err := extractOpsi(root, p); err != nil {
		return fmt.Errorf("cannot extract: %w", err)
	}
	var done int64
	bar := term.NewProgress(t.Err, t.Progress(), "extract "+filepath.Base(file), 0, 0)
	m, err := p.Unpack(ctx, func(layer archive.Layer, e manifest.Entry, content io.Reader) error {
		done += e.Size
		bar.Set(done, done)
		return extractEntry(root, string(layer), e, content)
	})
	bar.Close()
	err = errors.Join(err, root.Close()) // Windows renames no open folder
	if err == nil {
		err = os.Chmod(temp, 0o755)
	}
	if err == nil {
		err = os.Rename(temp, out)
	}
	if err != nil {
		return fmt.Errorf("cannot extract: %w", err)
	}
	return t.Say(map[string]any{"folder": out, "product": p.Control.Product.ID, "version": p.Control.Version(), "files": m.Files(), "bytes": m.Size()},
		"%s: %s %s, %d files, %s", out, p.Control.Product.ID, p.Control.Version(), m.Files(), term.Bytes(m.Size()))
}

func extractOpsi(root *os.Root, p *archive.Package) error {
	for name, data := range p.Files {
		if name == archive.ManifestFile && p.Manifest != nil {
			continue // a build makes it anew
		}
		name := path.Join(string(archive.Opsi), name)
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		perm := os.FileMode(0o644)
		if base := path.Base(name); base == "preinst" || base == "postinst" {
			perm = 0o755
		}
		if err := root.WriteFile(name, data, perm); err != nil {
			return err
		}
	}
	return nil
}

func extractEntry(root *os.Root, layer string, e manifest.Entry, content io.Reader) error {
	if err := root.Mkdir(layer, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	name := path.Join(layer, e.Path)
	switch e.Type {
	case manifest.Dir:
		return root.Mkdir(name, 0o755)
	case manifest.Link:
		return root.Symlink(e.Target, name)
	}
	perm := os.FileMode(0o644)
	if e.Type == manifest.Exec {
		perm = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
