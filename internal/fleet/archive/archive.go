// Package archive reads and writes `.opsi` files: one product with all its
// files, as packagers build it and depots install it.
//
// A package is an uncompressed tar of layers, each a compressed tar:
//
//	OPSI.tar.zstd         control, control.toml, preinst, postinst, changelog.txt ...
//	SERVER_DATA.tar.zstd  files for the server's own folders (optional)
//	CLIENT_DATA.tar.zstd  the product's folder on the depot
//
// Built here, OPSI comes first and also holds `manifest`, the manifest v1 of
// CLIENT_DATA (package manifest), so that one signature over its digest covers
// the content, and a package damaged on its way is refused. opsi ignores the
// extra file. Building the same source twice gives the same bytes: entries are
// sorted, owners are zero, times are given by the caller.
//
// Read are the layers in any order, compressed with zstd or gzip or not at
// all, with or without a manifest, as opsi-makepackage leaves them. Not read
// are cpio and bzip2 (packages from before opsi 4.2), and custom layers
// (`CLIENT_DATA.name`): each is an error that says so. Hard links, devices,
// pipes, and files with setuid or setgid are refused, every path passes
// manifest.CheckPath, and every size is limited before it is believed.
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
	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"regexp"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
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
}

var nameForm = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]{0,127})_([A-Za-z0-9.]{1,32})-([A-Za-z0-9.]{1,16})\.opsi$`)

// NameOf is the file name that a package with this control data should have.
func NameOf(c *control.Control) Name {
	return Name{c.Product.ID, c.Product.ProductVersion, c.Product.PackageVersion}
}

// ParseName reads `<id>_<productVersion>-<packageVersion>.opsi`.
func ParseName(file string) (Name, error) {
	if m := nameForm.FindStringSubmatch(file); m != nil {
		return Name{fleet.ProductID(m[1]), m[2], m[3]}, nil
	}
	err := errors.New("want <product id>_<product version>-<package version>.opsi")
	if strings.Contains(file, "~") {
		err = errors.New("not supported yet: custom packages (~name)")
	}
	return Name{}, fmt.Errorf("cannot use %q as the name of a package: %w", file, err)
}

func (n Name) String() string {
	return fmt.Sprintf("%s_%s-%s.opsi", n.ProductID, n.ProductVersion, n.PackageVersion)
}
