package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// order is what the scripts noted, one line an installation.
func (d *demo) order() ([]string, error) {
	f, err := os.Open(d.path("installed", "order"))
	if err != nil {
		return nil, fmt.Errorf("the scripts left no trace: %w", err)
	}
	defer f.Close()
	var lines []string
	in := bufio.NewScanner(f)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	return lines, in.Err()
}

// update publishes a new version with a few changes, lets it travel, and
// installs it.
func (d *demo) update(ctx context.Context) error {
	main := d.trees[1]
	main.version = "1.1"
	changed, err := main.edit(ctx)
	if err != nil {
		return err
	}
	if err := main.write(fmt.Sprintf(mainControl, main.version), mainScript); err != nil {
		return err
	}
	d.tell("%s", changed)
	if err := d.deliver(ctx, main); err != nil {
		return err
	}
	if err := d.request(ctx); err != nil {
		return err
	}
	took, wire, err := d.sync(ctx)
	if err != nil {
		return err
	}
	d.figures.SecondWireBytes = wire
	d.tell("cached after %.1f s; the line carried %s", took.Seconds(), term.Bytes(wire))
	if err := d.reboot(ctx); err != nil {
		return err
	}
	files, size, err := compare(ctx, main.src(), d.path("installed", "src"))
	if err != nil {
		return err
	}
	d.tell("installed: %d files, %s, each equal to its source", files, term.Bytes(size))
	if err := d.fire(ctx); err != nil {
		return err
	}
	return d.reported(ctx, main)
}

// edit changes three files spread over the tree, adds one and removes one.
func (t *tree) edit(ctx context.Context) (string, error) {
	var names []string
	err := walk(ctx, t.src(), func(name string, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if len(names) < 5 {
		return "", errors.New("the source has too few files to change some")
	}
	slices.Sort(names)
	at := func(n, of int) string { return names[len(names)*n/of] }
	for _, name := range []string{at(1, 4), at(2, 4), at(3, 4)} {
		if err := appendTo(filepath.Join(t.src(), filepath.FromSlash(name)), "\n// Changed in the new version.\n"); err != nil {
			return "", err
		}
	}
	if err := appendTo(filepath.Join(t.src(), "NEW_IN_THIS_VERSION"), "This file is new.\n"); err != nil {
		return "", err
	}
	removed := at(7, 8)
	if err := os.Remove(filepath.Join(t.src(), filepath.FromSlash(removed))); err != nil {
		return "", err
	}
	return fmt.Sprintf("changed: %s, %s, %s; one new file; removed: %s", at(1, 4), at(2, 4), at(3, 4), removed), nil
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
