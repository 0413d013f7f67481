// Package archive reads and writes `.opsi` files: one product with all its
// files, as packagers build it and depots install it.
//
// A package is an uncompressed tar of layers, each a compressed tar:
//
//	OPSI.tar.zstd         control, control.toml, preinst, postinst, changelog.txt ...
//	SERVER_DATA.tar.zstd  files for the server's own folders (optional)
//	CLIENT_DATA.tar.zstd  the product's folder on the depot
//
// A site's own changes come as further layers, CLIENT_DATA.<name>.tar.zstd and
// so on: they are laid over the layer of the same kind, and win.
//
// Built here, OPSI comes first and also holds `manifest`, the manifest v1 of
// CLIENT_DATA (package manifest), so that one signature over its digest covers
// the content, and a package damaged on its way is refused. opsi ignores the
// extra file. Building the same source twice gives the same bytes: entries are
// sorted, owners are zero, times are given by the caller.
//
// Read is what opsi's tools and plain ones ever made: layers in any order, tar
// (of GNU, POSIX and before) or cpio (newc, crc, odc, binary), in a tar or a
// cpio, compressed with zstd, gzip, bzip2 or not at all, with or without a
// manifest. Owners, times, setuid and setgid are dropped, hard links become
// files of their own. Devices, pipes, sockets and sparse files are refused,
// names that are there twice, and what stands behind an archive's end; every
// path passes manifest.CheckPath, and every size is limited before it is
// believed.
//
// The product's own description (Control) has two spellings, the older
// `control` and the `control.toml` of opsi 4.3; both are read and written.
//
// The package touches no disk: callers hand in readers, writers and temporary
// storage. The depot installs with it, the command line builds with it.
package archive

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/control"
)

// Layer is a part of a package.
type Layer string

// The layers.
const (
	Opsi       Layer = "OPSI"        // control data and scripts; small, read into memory
	ServerData Layer = "SERVER_DATA" // for folders of the server
	ClientData Layer = "CLIENT_DATA" // becomes the product's folder on the depot
)

// ManifestFile is the name of the carried manifest in the OPSI layer.
const ManifestFile = "manifest"

// Limits bounds what a package may ask of its reader. A zero field means the
// default.
type Limits struct {
	Entries      int   // of all layers together; default 1,000,000
	Bytes        int64 // unpacked content of the data layers; default 64 GiB
	ControlBytes int64 // unpacked content of the OPSI layer; default 64 MiB
}

func (l Limits) orDefault() Limits {
	return Limits{
		Entries:      cmp.Or(l.Entries, 1_000_000),
		Bytes:        cmp.Or(l.Bytes, 64<<30),
		ControlBytes: cmp.Or(l.ControlBytes, 64<<20),
	}
}

// Name is what a package's file is called.
type Name struct {
	ProductID      fleet.ProductID
	ProductVersion string
	PackageVersion string
	Custom         string // of a package with a site's own changes, else ""
}

var nameForm = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]{0,127})_([A-Za-z0-9.]{1,32})-([A-Za-z0-9.]{1,16})(?:~(` + customForm + `))?\.opsi$`)

// NameOf is the file name that a package with this control data should have.
func NameOf(c *control.Control) Name {
	return Name{ProductID: c.Product.ID, ProductVersion: c.Product.ProductVersion, PackageVersion: c.Product.PackageVersion}
}

// ParseName reads `<id>_<productVersion>-<packageVersion>[~custom].opsi`.
func ParseName(file string) (Name, error) {
	if m := nameForm.FindStringSubmatch(file); m != nil {
		return Name{fleet.ProductID(m[1]), m[2], m[3], m[4]}, nil
	}
	return Name{}, fmt.Errorf("cannot use %q as the name of a package: %w", file,
		errors.New("want <product id>_<product version>-<package version>.opsi, or with ~<custom name> before .opsi"))
}

func (n Name) String() string {
	custom := ""
	if n.Custom != "" {
		custom = "~" + n.Custom
	}
	return fmt.Sprintf("%s_%s-%s%s.opsi", n.ProductID, n.ProductVersion, n.PackageVersion, custom)
}

// Holds tells whether a file of this name may hold the package with this
// control data. The custom part is the packager's own word.
func (n Name) Holds(c *control.Control) bool {
	n.Custom = ""
	return n == NameOf(c)
}
