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
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) packageInstallCommand() *cobra.Command {
	var depot string
	var force, defaults bool
	var trust signing.Flags
	c := &cobra.Command{
		Use: "install FILE...", Args: tool.Args,
		Short: "Upload packages and install them on a depot",
		Long: `Upload packages and install them on a depot. Each is installed whole or not at
all. A file's .md5 beside it is checked before anything is sent. Exit status 3:
some were installed, some not.

With --trust the signed list of that folder is published first. The report says
who signed what hosts get: where postinst changed it, the server had to, and
hosts whose policy is "offline" refuse it.`,
		RunE: func(c *cobra.Command, given []string) error {
			query := forced(force)
			switch {
			case defaults && force:
				query += "&properties=package"
			case defaults:
				query = "?properties=package"
			}
			if trust.Named(t.Tool) {
				if err := t.publish(c.Context(), &trust); err != nil {
					return err
				}
			}
			return t.packageInstall(c.Context(), given, depot, query)
		},
	}
	t.DepotFlag(c, &depot)
	trust.AddDir(c)
	c.Flags().BoolVar(&force, "force", false, "also if somebody locked the product, or packages that it needs are missing")
	c.Flags().BoolVar(&defaults, "properties-of-package", false, "set the depot's property values to the package's defaults (else those that it has stay)")
	return c
}

// forced is the query of a request that shall not mind locks.
func forced(force bool) string {
	if force {
		return "?force=true"
	}
	return ""
}

func (t command) packageInstall(ctx context.Context, files []string, depot, query string) error {
	for _, f := range files { // all are packages, or nothing is sent
		if _, err := archive.ParseName(filepath.Base(f)); err != nil {
			return fleet.Errorf(fleet.Invalid, "cannot install %s: %w", f, err)
		}
	}
	conn, done, err := t.Depot(ctx, depot)
	if err != nil {
		return err
	}
	defer done()
	reports := []map[string]any{}
	failed := 0
	for _, f := range files {
		report, err := t.upload(ctx, conn, f, query)
		if err != nil && len(files) == 1 || ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed++
			run.Report(t.Err, tool.Presentable(err))
			report = map[string]any{"file": f, "error": err.Error()}
		} else if !t.JSON {
			t.Remark("installed %v %v-%v: %v files, %s%s", report["product"], report["productVersion"], report["packageVersion"],
				report["files"], size(report["bytes"]), replaced(report))
			t.remarkTrust(report)
		}
		reports = append(reports, report)
	}
	if t.JSON {
		if err := t.WriteJSON(reports); err != nil {
			return err
		}
	}
	switch {
	case failed == len(files):
		return fmt.Errorf("none of %d packages was installed", failed)
	case failed > 0:
		return &tool.Partly{Failed: failed, All: len(files)}
	}
	return nil
}

func replaced(report map[string]any) string {
	if v := console.Cell(report["replaced"]); v != "" {
		return ", replaces " + v
	}
	return ""
}

// upload sends one package and waits until it is installed.
func (t command) upload(ctx context.Context, conn *session.Connection, path, query string) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot install: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot install %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fleet.Errorf(fleet.Invalid, "cannot install %s: it is no file", path)
	}
	if err := checkMD5(ctx, f, path+".md5"); err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	bar := term.NewProgress(t.Err, t.Progress(), "upload "+name, 0, info.Size())
	body := &counted{f, func(n int) { bar.Add(int64(n)) }}
	var report map[string]any
	if err := conn.Packages(ctx, "PUT", name+query, body, info.Size(), &report); err != nil {
		bar.Println("upload " + name + " failed") // the bar is gone
		return nil, err                           // the server names the package
	}
	bar.Close()
	report["file"] = path
	return report, nil
}

// checkMD5 compares a package with the sum that opsi's tools put beside it.
func checkMD5(ctx context.Context, f io.ReadSeeker, beside string) error {
	text, err := os.ReadFile(beside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot install: %w", err)
	}
	words := strings.Fields(string(text))
	sum := md5.New()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(sum, f, 64<<20); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("cannot install: %w", err)
		}
	}
	if len(words) == 0 || !strings.EqualFold(words[0], hex.EncodeToString(sum.Sum(nil))) {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot install %s: its MD5 is not what %s says", strings.TrimSuffix(beside, ".md5"), filepath.Base(beside)),
			"copy the package again; or delete the .md5 file if it is an old one")
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// counted tells how much was read.
type counted struct {
	r    io.Reader
	tell func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.tell(n)
	return n, err
}
