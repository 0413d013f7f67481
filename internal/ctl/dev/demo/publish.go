package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/kit/freespace"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// The two products.
const (
	mainProduct = "go-src"
	baseProduct = "demo-runtime"
)

// room is how many times the source must fit on the disk: source, depot, cache
// and installed copy, each in two versions, the packages, and chunks.
const room = 10

// mainControl is the main product's control.toml; %s is its version.
const mainControl = `[Package]
version = "1"
depends = [{ package = "demo-runtime" }]

[Product]
type = "LocalbootProduct"
id = "go-src"
name = "The Go sources"
description = "A real tree of many small files."
version = "%s"
setupScript = "setup.sh"

[[ProductDependency]]
action = "setup"
requiredProduct = "demo-runtime"
requiredStatus = "installed"
requirementType = "before"

[[ProductProperty]]
type = "UnicodeProductProperty"
name = "target"
description = "Where to install"
multivalue = false
editable = true
values = []
default = ["/opt/fernwerk-demo"]

[[ProductProperty]]
type = "UnicodeProductProperty"
name = "greeting"
description = "What the log says at the end"
multivalue = false
editable = true
values = []
default = ["hello from the cache"]
`

// mainScript installs the tree whole or not at all, and only behind its base.
const mainScript = `# Copies the tree to the folder that the property "target" names.
set -e
target=$(property target)
test -f "$target/runtime-is-here" || { echo "demo-runtime is missing"; exit 1; }
progress "copying"
rm -rf "$target/src.new"
cp -r src "$target/src.new"
rm -rf "$target/src"
mv "$target/src.new" "$target/src"
echo "$FERNWERK_PRODUCT_ID $FERNWERK_PRODUCT_VERSION: $(property greeting)" >>"$target/order"
echo "$(property greeting), $FERNWERK_HOST_ID"
`

const baseControl = `[Package]
version = "1"

[Product]
type = "LocalbootProduct"
id = "demo-runtime"
name = "What the Go sources need"
version = "1.0"
setupScript = "setup.sh"

[[ProductProperty]]
type = "UnicodeProductProperty"
name = "target"
description = "Where to install"
multivalue = false
editable = true
values = []
default = ["/opt/fernwerk-demo"]
`

const baseScript = `# Makes the folder that others install into, and says that it was here.
set -e
target=$(property target)
mkdir -p "$target"
touch "$target/runtime-is-here"
echo "$FERNWERK_PRODUCT_ID $FERNWERK_PRODUCT_VERSION" >>"$target/order"
`

// publish makes the two products' folders, builds their packages and installs
// them.
func (d *demo) publish(ctx context.Context) error {
	source, err := d.source(ctx)
	if err != nil {
		return err
	}
	files, size, err := sizeOf(ctx, source)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", source, err)
	}
	free, err := freespace.Of(d.dir)
	if err != nil {
		return err
	}
	if need := uint64(size) * room; free < need {
		return fmt.Errorf("cannot work in %s: %s are free there, the demo takes about %s (TMPDIR names another place)",
			d.dir, term.Bytes(int64(free)), term.Bytes(int64(need)))
	}
	d.tell("%s: %d files, %s", source, files, term.Bytes(size))
	base := &tree{baseProduct, "1.0", d.path("source", baseProduct)}
	main := &tree{mainProduct, "1.0", d.path("source", mainProduct)}
	d.trees = []*tree{base, main}
	if err := base.write(baseControl, baseScript); err != nil {
		return err
	}
	if err := main.write(fmt.Sprintf(mainControl, main.version), mainScript); err != nil {
		return err
	}
	if err := copyTree(ctx, source, main.src()); err != nil {
		return fmt.Errorf("cannot copy %s: %w", source, err)
	}
	if d.ideal, err = d.reference(ctx); err != nil {
		return err
	}
	return d.deliver(ctx, d.trees...)
}

// write writes the files of a product that are not content.
func (t *tree) write(control, script string) error {
	for name, text := range map[string]string{"OPSI/control.toml": control, "CLIENT_DATA/setup.sh": script} {
		path := filepath.Join(t.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// src is where a product keeps the tree that it installs.
func (t *tree) src() string { return filepath.Join(t.dir, "CLIENT_DATA", "src") }

// pack is the file that the product's package gets.
func (t *tree) pack() string { return fmt.Sprintf("%s_%s-1.opsi", t.id, t.version) }

// deliver builds packages and installs them.
func (d *demo) deliver(ctx context.Context, trees ...*tree) error {
	for _, t := range trees {
		file := d.path("packages", t.pack())
		if _, err := d.admin(ctx, "package", "build", t.dir, "-o", file); err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if _, err := d.admin(ctx, "package", "install", file); err != nil {
			return err
		}
		d.tell("installed on the depot: %s, %s", t.pack(), term.Bytes(info.Size()))
	}
	return nil
}
