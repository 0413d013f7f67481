// Package repository is the depot as opsi's tools use it: packages are uploaded
// to a folder, then installed from there by their name.
//
// There are two such folders: the repository, where tools put packages, and the
// workbench, where people make them. Files are named by their path on this
// server's disk, as an opsi server has it, or by their name alone; nothing
// outside of the two is opened ([os.Root]). By WebDAV both are open to
// administrators (package dav).
package repository

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/freespace"
	"github.com/fernwerk/fernwerk/internal/server/depot"
	"github.com/fernwerk/fernwerk/internal/server/depot/dav"
)

// Repository implements [methods.DepotServer].
type Repository struct {
	*depot.Depot
	Packages  string // the folder of uploaded packages
	Workbench string
	// By WebDAV, each below the path that is its name.
	PackagesDAV, WorkbenchDAV http.Handler
}

// New makes the folders if they are missing.
func New(d *depot.Depot, packages, workbench string) (*Repository, error) {
	r := &Repository{Depot: d, Packages: packages, Workbench: workbench}
	for _, f := range []struct {
		dir, prefix string
		to          *http.Handler
	}{{packages, "/repository", &r.PackagesDAV}, {workbench, "/workbench", &r.WorkbenchDAV}} {
		err := os.MkdirAll(f.dir, 0o755)
		if err == nil {
			*f.to, err = dav.Writable(f.prefix, f.dir)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot open the folder of packages: %w", err)
		}
	}
	return r, nil
}

// find opens the folder that holds a file, and tells the file's name in it.
func (d *Repository) find(file string) (root *os.Root, name string, err error) {
	if strings.ContainsAny(file, "\x00\\") || file == "" {
		return nil, "", fleet.Errorf(fleet.Invalid, "cannot use the file %.300q: it has no such name", file)
	}
	for _, dir := range []string{d.Packages, d.Workbench} {
		name := file
		if filepath.IsAbs(file) {
			rel, err := filepath.Rel(dir, file)
			if err != nil || !filepath.IsLocal(rel) {
				continue
			}
			name = rel
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, "", err
		}
		if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
			return root, name, nil
		}
		root.Close()
	}
	return nil, "", fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find the file %.300q on depot %s", file, d.DepotID),
		"it must lie in %s or %s: copy it there, by WebDAV to /repository or /workbench for example", d.Packages, d.Workbench)
}

// InstallFile implements [methods.DepotServer].
func (d *Repository) InstallFile(ctx context.Context, actor methods.Actor, file string, o methods.DepotInstall) error {
	root, name, err := d.find(file)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = d.Install(ctx, actor, filepath.Base(name), f, info.Size(), depot.Options{Force: o.Force, PackageDefaults: o.PackageDefaults, Values: o.Values})
	return err
}

// Uninstall implements [methods.DepotServer].
func (d *Repository) Uninstall(ctx context.Context, actor methods.Actor, product string, force bool) error {
	_, err := d.Remove(ctx, actor, product, force)
	return err
}

// MD5 implements [methods.DepotServer].
func (d *Repository) MD5(ctx context.Context, file string) (string, error) {
	root, name, err := d.find(file)
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.CopyBuffer(h, &ended{ctx, f}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ended ends reading with its context.
type ended struct {
	ctx context.Context
	r   io.Reader
}

func (e *ended) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

// WriteMD5 implements [methods.DepotServer].
func (d *Repository) WriteMD5(ctx context.Context, file, into string) error {
	sum, err := d.MD5(ctx, file)
	if err != nil {
		return err
	}
	root, name, err := d.find(file)
	if err != nil {
		return err
	}
	defer root.Close()
	if base := filepath.Base(into); base != filepath.Base(name)+".md5" {
		return fleet.Errorf(fleet.Invalid, "cannot write %.300q: the sum of %s belongs into %s.md5", into, name, filepath.Base(name))
	}
	err = root.WriteFile(name+".md5", []byte(sum), 0o644)
	if errors.Is(err, syscall.ENOSPC) {
		err = fleet.Errorf(fleet.Unavailable, "%w", err)
	}
	return err
}

// DiskSpace implements [methods.DepotServer].
func (d *Repository) DiskSpace(path string) (capacity, available uint64, err error) {
	for _, dir := range []string{d.Dir, d.Packages, d.Workbench} {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return freespace.Disk(dir)
		}
	}
	return 0, 0, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot tell the room of %.300q: it is no folder of the depot", path),
		"the folders are %s, %s and %s", d.Dir, d.Packages, d.Workbench)
}
