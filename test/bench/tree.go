package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fernwerk/fernwerk/test/bench/tree"
)

const product = tree.Product

// copyTree makes a product of a copy of the source.
func (b *bench) copyTree(ctx context.Context) (*tree.Tree, error) {
	if b.source == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return nil, fmt.Errorf("cannot find the Go toolchain's src: %w", err)
		}
		b.source = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	return tree.Copy(b.source, b.scratch)
}

// compressed is the size of the tree as `tar | zstd -3` sends it, by the real
// programs.
func (b *bench) compressed(ctx context.Context, t *tree.Tree) (int64, error) {
	for _, name := range []string{"tar", "zstd"} {
		if _, err := exec.LookPath(name); err != nil {
			return 0, err
		}
	}
	tar := exec.CommandContext(ctx, "tar", "-C", t.Dir, "-cf", "-", "CLIENT_DATA")
	zstd := exec.CommandContext(ctx, "zstd", "-3", "-q", "-c")
	b.say("$ %s | %s | wc -c", strings.Join(tar.Args, " "), strings.Join(zstd.Args, " "))
	var err error
	if zstd.Stdin, err = tar.StdoutPipe(); err != nil {
		return 0, err
	}
	var size counter
	zstd.Stdout = &size
	if err := zstd.Start(); err != nil {
		return 0, err
	}
	err = tar.Run()
	return int64(size), errors.Join(err, zstd.Wait())
}

// counter counts what is written to it.
type counter int64

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
