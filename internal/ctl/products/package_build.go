package products

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// mostWarnings is how many names that do not travel are listed.
const mostWarnings = 10

// buildOptions are those of `package build`.
type buildOptions struct {
	archive.Options
	out         string
	compression string
	md5         bool
	sign        bool
	signer      signer
}

func (t command) packageBuildCommand() *cobra.Command {
	var o buildOptions
	c := &cobra.Command{
		Use: "build DIR", Args: tool.Args,
		Short: "Build a package from a product's source folder",
		Long: `Build a package from a product's source folder, which holds OPSI/control.toml
(or OPSI/control) and CLIENT_DATA, the files that clients get.

The same source gives the same bytes: times are those of SOURCE_DATE_EPOCH, or
none. Names that Windows or macOS cannot hold are warned of; "package lint"
looks closer. --custom adds what a site keeps in CLIENT_DATA.<name>,
OPSI.<name> and SERVER_DATA.<name>, which wins over the other folders.

--sign puts what clients get of it on the signed list of a folder of content
trust; see "fernwerk trust".`,
		Example: `  fernwerk package build ./firefox && fernwerk package install firefox_128.0-1.opsi
  fernwerk package build ./firefox --sign --trust /media/stick/trust
  fernwerk package build ./firefox --custom berlin --package-version 1berlin
  fernwerk package build ./firefox --compression gzip --md5    # for an opsi before 4.3`,
		RunE: func(c *cobra.Command, given []string) error { return t.packageBuild(c.Context(), given[0], o) },
	}
	f := c.Flags()
	f.StringVarP(&o.out, "output", "o", "", "the file to write, or an existing folder (default ./<id>_<version>-<package version>.opsi)")
	f.StringVar(&o.compression, "compression", string(archive.Zstd), "zstd, gzip or none")
	f.StringVar(&o.Custom, "custom", "", "add the custom layers of this name")
	f.BoolVar(&o.CustomOnly, "custom-only", false, "with --custom: only its layers")
	f.StringVar(&o.ProductVersion, "product-version", "", "state this version instead of the source's")
	f.StringVar(&o.PackageVersion, "package-version", "", "state this package version instead of the source's")
	f.BoolVar(&o.md5, "md5", false, "write <file>.md5 too, as opsi's tools want it")
	f.BoolVar(&o.sign, "sign", false, "sign what clients get, with the keys in --trust DIR")
	o.signer.add(c)
	return c
}

func (t command) packageBuild(ctx context.Context, dir string, o buildOptions) error {
	if o.CustomOnly && o.Custom == "" {
		return fleet.Errorf(fleet.Invalid, "--custom-only goes with --custom NAME")
	}
	if o.Compression = archive.Compression(o.compression); !slices.Contains(archive.Compressions(), o.Compression) {
		return fleet.Errorf(fleet.Invalid, "cannot use --compression %q: want zstd, gzip or none", o.compression)
	}
	if o.sign {
		if err := o.signer.open(t.Tool); err != nil { // before the work
			return err
		}
		defer o.signer.close()
	} else if o.signer.given() {
		return fleet.Errorf(fleet.Invalid, "--trust, --platform and --keep go with --sign")
	}
	root, err := openSource(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	source := root.FS()
	described, err := archive.Describe(source, o.Options)
	if err != nil {
		return fmt.Errorf("cannot build a package of %s: %w", dir, err)
	}
	total, err := survey(source, o.Options)
	if err != nil {
		return fmt.Errorf("cannot build a package of %s: %w", dir, err)
	}
	if o.ModTime, err = t.epoch(); err != nil {
		return err
	}
	holds := archive.NameOf(described)
	holds.Custom = o.Custom
	name, out := holds.String(), o.out
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
	o.Temp = func() (archive.Temp, error) { return scratch(filepath.Dir(out)) }
	o.Progress = func(done int64) { bar.Set(done, max(total, done)) }
	sum := md5.New()
	built, err := archive.Build(ctx, io.MultiWriter(file, sum), source, o.Options)
	if err != nil {
		bar.Println("build " + name + " failed") // the bar is gone
		return err
	}
	if err := file.Commit(); err != nil {
		return err
	}
	if o.md5 {
		if err := atomicfile.WriteFile(out+".md5", []byte(hex.EncodeToString(sum.Sum(nil))), 0o644); err != nil {
			return err
		}
	}
	bar.Close()
	if o.sign {
		version, err := o.signer.sign([]signable{{built.Control, built.Manifest}})
		if err != nil {
			return fleet.WithHint(fmt.Errorf("%s was built and not signed: %w", out, err), "sign it with: fernwerk package sign %s", out)
		}
		t.Remark("signed: list %d; publish it with: fernwerk package install %s --trust %s", version, out, o.signer.dir.Path())
	}
	return t.built(out, built)
}

func openSource(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fleet.WithHint(fmt.Errorf("cannot read the source of a package: %w", err), "name the folder that holds OPSI and CLIENT_DATA")
	}
	return root, nil
}

// survey sums what there is to pack, in bytes.
func survey(source fs.FS, o archive.Options) (total int64, err error) {
	for _, layer := range []archive.Layer{archive.Opsi, archive.ServerData, archive.ClientData} {
		for _, name := range []string{string(layer), string(layer) + "." + o.Custom} {
			err := fs.WalkDir(source, name, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				info, err := d.Info()
				if err == nil {
					total += info.Size()
				}
				return err
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
		}
	}
	return total, nil
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
