package products

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// mostWarnings is how many names that do not travel are listed.
const mostWarnings = 10

func (t command) packageBuildCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "build DIR", Args: tool.Args,
		Short: "Build a package from a product's source folder",
		Long: `Build a package from a product's source folder, which holds OPSI/control.toml
(or OPSI/control) and CLIENT_DATA, the files that clients get.

The same source gives the same bytes: times are those of SOURCE_DATE_EPOCH, or
none. Names that Windows or macOS cannot hold are warned of.`,
		Example: "  fernwerk package build ./firefox && fernwerk package install firefox_128.0-1.opsi",
		RunE:    func(c *cobra.Command, given []string) error { return t.packageBuild(c.Context(), given[0], out) },
	}
	c.Flags().StringVarP(&out, "output", "o", "", "the file to write, or an existing folder (default ./<id>_<version>-<package version>.opsi)")
	return c
}

func (t command) packageBuild(ctx context.Context, dir, out string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fleet.WithHint(fmt.Errorf("cannot build a package: %w", err), "name the folder that holds OPSI and CLIENT_DATA")
	}
	defer root.Close()
	source := root.FS()
	described, total, err := survey(source)
	if err != nil {
		return fmt.Errorf("cannot build a package of %s: %w", dir, err)
	}
	epoch, err := t.epoch()
	if err != nil {
		return err
	}
	name := archive.NameOf(described).String()
	if out == "" {
		out = name
	} else if info, err := os.Stat(out); err == nil && info.IsDir() {
		out = filepath.Join(out, name)
	}
	file, err := atomicfile.Create(out, 0o644)
	if err != nil {
		return err
	}
	defer file.Abort()
	bar := term.NewProgress(t.Err, t.Progress(), "build "+name, 0, total)
	built, err := archive.Build(ctx, file, source, archive.Options{
		Temp:     func() (archive.Temp, error) { return scratch(filepath.Dir(out)) },
		ModTime:  epoch,
		Progress: func(done int64) { bar.Set(done, max(total, done)) },
	})
	if err != nil {
		bar.Println("build " + name + " failed") // the bar is gone
		return err
	}
	if err := file.Commit(); err != nil {
		return err
	}
	bar.Close()
	return t.built(out, built)
}

// survey reads the control data, and sums what there is to pack.
func survey(source fs.FS) (*control.Control, int64, error) {
	files := map[string][]byte{}
	var total int64
	err := fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if dir, name := filepath.Split(path); dir == "OPSI/" {
			switch name {
			case "control", "control.toml", "changelog", "changelog.txt":
				if files[name], err = fs.ReadFile(source, path); err != nil {
					return err
				}
			}
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	described, err := control.Read(files)
	return described, total, err
}

// epoch is SOURCE_DATE_EPOCH (reproducible-builds.org), or no time.
func (t command) epoch() (time.Time, error) {
	text := t.Source.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fleet.Errorf(fleet.Invalid, "cannot use SOURCE_DATE_EPOCH=%q: it is no number of seconds", text)
	}
	return time.Unix(seconds, 0), nil
}

// scratch is a file without a name to others, which ends with its Close.
func scratch(dir string) (archive.Temp, error) {
	f, err := os.CreateTemp(dir, ".fernwerk-build-*")
	if err != nil {
		return nil, err
	}
	return &temporary{f}, nil
}

type temporary struct{ *os.File }

func (t *temporary) Close() error { return errors.Join(t.File.Close(), os.Remove(t.Name())) }

// built says what was built, and what of it will not travel.
func (t command) built(path string, b *archive.Built) error {
	warnings := b.Manifest.Portable()
	for i, w := range warnings {
		if i == mostWarnings {
			t.Remark("warning: ... and %d more", len(warnings)-i)
			break
		}
		t.Remark("warning: %s", w)
	}
	files, bytes := int64(0), int64(0)
	for _, e := range b.Manifest.Entries {
		if e.Type == manifest.File || e.Type == manifest.Exec {
			files, bytes = files+1, bytes+e.Size
		}
	}
	texts := []string{}
	for _, w := range warnings {
		texts = append(texts, w.Error())
	}
	return t.Say(map[string]any{
		"file": path, "product": b.Control.Product.ID, "version": b.Control.Version(), "files": files, "bytes": bytes,
		"warnings": texts,
	}, "%s: %s %s, %d files, %s", path, b.Control.Product.ID, b.Control.Version(), files, term.Bytes(bytes))
}
