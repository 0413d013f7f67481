package depot

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// Limits of a package's script.
const (
	scriptTime   = 30 * time.Minute
	scriptOutput = 64 << 10 // bytes kept of its output
)

// output is what the scripts said.
type output struct{ bytes.Buffer }

// preinst runs with a copy of the published tree.
func (in *installation) preinst(ctx context.Context) error {
	if !in.scripts["preinst"] {
		return nil
	}
	dir := in.staged(copyDir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := in.copyPublished(dir); err != nil {
		return fmt.Errorf("cannot copy the present tree for preinst: %w", err)
	}
	if err := in.script(ctx, "preinst", dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func (in *installation) copyPublished(dir string) error {
	root, err := os.OpenRoot(in.path(in.intent.Product))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return os.CopyFS(dir, root.FS())
}

// postinst runs on the tree that will be published.
func (in *installation) postinst(ctx context.Context) error {
	if !in.scripts["postinst"] {
		return nil
	}
	return in.script(ctx, "postinst", in.staged(treeDir))
}

// script runs one script with the variables that opsi gives it.
func (in *installation) script(ctx context.Context, name, dataDir string) error {
	p := in.control.Product
	var said bytes.Buffer
	result, err := secureexec.Run(ctx, secureexec.Command{
		Argv: []string{in.staged(controlDir, name)},
		Dir:  in.staged(controlDir),
		Env: append(secureexec.Inherit("PATH", "LANG", "LC_ALL", "TZ", "HOME"),
			"PRODUCT_ID="+string(p.ID), "PRODUCT_TYPE="+p.Type, "PRODUCT_VERSION="+p.ProductVersion,
			"PACKAGE_VERSION="+p.PackageVersion, "CLIENT_DATA_DIR="+dataDir),
		Out: &said, Err: &said, OutputLimit: scriptOutput, Timeout: scriptTime, KillGrace: 5 * time.Second,
	})
	if err == nil {
		err = result.Failure()
	}
	text := strings.ToValidUTF8(said.String(), "\uFFFD")
	if err != nil {
		in.Log.Warn("script of a package failed", "product", p.ID, "script", name, "err", err, "output", text)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "%s failed: %w: %s", name, err, lastLines(text)),
			"the package's own script failed; nothing was changed on the depot")
	}
	if text != "" {
		fmt.Fprintf(&in.output, "%s:\n%s", name, text)
	}
	return nil
}

// lastLines is the end of an output, where programs say why they failed.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
