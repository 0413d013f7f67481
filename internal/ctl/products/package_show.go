package products

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) packageShowCommand() *cobra.Command {
	var files bool
	c := &cobra.Command{
		Use: "show FILE", Args: tool.Args,
		Short: "Show what a package file holds, and check it",
		Long: `Show what a package file holds. It is read whole, so a damaged one is an error.
No server is needed.`,
		RunE: func(c *cobra.Command, given []string) error { return t.packageShow(c.Context(), given[0], files) },
	}
	c.Flags().BoolVar(&files, "files", false, "list the files that clients get, with size and SHA-256")
	return c
}

// openPackage opens a package file, and checks the sum beside it.
func openPackage(ctx context.Context, path string) (*archive.Package, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the package: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = checkMD5(ctx, f, path+".md5")
	}
	var p *archive.Package
	if err == nil {
		p, err = archive.Open(f, info.Size(), archive.Limits{})
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, f, nil
}

func (t command) packageShow(ctx context.Context, path string, files bool) error {
	p, f, err := openPackage(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close()
	server := 0
	m, err := p.Unpack(ctx, func(layer archive.Layer, e manifest.Entry, _ io.Reader) error {
		if layer == archive.ServerData && e.Type != manifest.Dir {
			server++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	list := []fleet.Row{}
	for _, e := range m.Entries {
		r := fleet.Row{"path": e.Path, "type": e.Type.String(), "size": e.Size}
		switch {
		case e.Type.Regular():
			r["sha256"] = hex.EncodeToString(e.Sum[:])
		case e.Type == manifest.Link:
			r["target"] = e.Target
		}
		list = append(list, r)
	}
	if files {
		return t.List(list, "no files", "type", "size", "path", "target", "sha256")
	}
	digest := m.Digest()
	control := p.Control
	product := control.Product
	r := fleet.Row{
		"product": string(product.ID), "version": control.Version(), "type": product.Type, "name": product.Name,
		"description": product.Description, "priority": product.Priority, "licence required": product.LicenseRequired,
		"files": m.Files(), "bytes": m.Size(), "manifest": hex.EncodeToString(digest[:]), "carries manifest": p.Manifest != nil,
		"files for the server": server,
	}
	lists := map[string][]string{"custom layers": p.Custom}
	for _, d := range control.Depends {
		lists["needs packages"] = append(lists["needs packages"], d.String())
	}
	for _, d := range control.Dependencies {
		lists["needs products"] = append(lists["needs products"], string(d.RequiredProductID))
	}
	for _, d := range control.Properties {
		lists["properties"] = append(lists["properties"], d.PropertyID)
	}
	for _, name := range []string{"preinst", "postinst"} {
		if _, ok := p.Files[name]; ok {
			lists["runs on the server"] = append(lists["runs on the server"], name)
		}
	}
	for name, words := range lists {
		items := make([]any, len(words))
		for i, w := range words {
			items[i] = w
		}
		r[name] = items
	}
	if named, err := archive.ParseName(filepath.Base(path)); err != nil || !named.Holds(control) {
		t.Remark("warning: a depot wants the file to be named %s", archive.NameOf(control))
	}
	if !t.JSON {
		r["size"] = term.Bytes(m.Size())
	}
	return t.Sheet(r, []string{"product", "version", "type", "name", "description", "priority", "licence required", "needs packages", "needs products",
		"properties", "custom layers", "runs on the server", "files for the server", "files", "size", "manifest"})
}
