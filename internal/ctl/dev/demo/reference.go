package demo

import (
	"archive/tar"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// reference is the size of what travels as `tar | zstd -3` would send it.
func (d *demo) reference(ctx context.Context) (int64, error) {
	n, err := d.realReference(ctx)
	how := "tar | zstd -3"
	if err != nil && ctx.Err() == nil {
		// The programs are missing here, or cannot do it.
		how = "tar | zstd -3 (by the Go library: the programs are not here)"
		n, err = d.ownReference(ctx)
	}
	if err != nil {
		return 0, err
	}
	d.tell("as %s: %s, %.1f s on this line at best", how, term.Bytes(n), float64(n)/float64(d.Rate))
	return n, nil
}

// folders are the products' content, from the folder of all sources.
func (d *demo) folders() []string {
	var list []string
	for _, t := range d.trees {
		list = append(list, t.id+"/CLIENT_DATA")
	}
	return list
}

func (d *demo) realReference(ctx context.Context) (int64, error) {
	for _, name := range []string{"tar", "zstd"} {
		if _, err := exec.LookPath(name); err != nil {
			return 0, err
		}
	}
	from, to := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		argv := append([]string{"tar", "-C", d.path("source"), "-cf", "-"}, d.folders()...)
		to.CloseWithError(ran(secureexec.Run(ctx, secureexec.Command{Argv: argv, Env: d.environment(), Out: to, OutputLimit: -1, Timeout: callTime})))
	})
	var size counter
	err := ran(secureexec.Run(ctx, secureexec.Command{Argv: []string{"zstd", "-3", "-q", "-c"}, Env: d.environment(), In: from, Out: &size, OutputLimit: -1, Timeout: callTime}))
	from.Close()
	wg.Wait()
	return int64(size), err
}

func ran(r secureexec.Result, err error) error {
	if err == nil {
		err = r.Failure()
	}
	return err
}

func (d *demo) ownReference(ctx context.Context) (int64, error) {
	var size counter
	packed, err := zstd.NewWriter(&size, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)))
	if err != nil {
		return 0, err
	}
	archive := tar.NewWriter(packed)
	for _, folder := range d.folders() {
		if err := addTree(ctx, archive, d.path("source", filepath.FromSlash(folder)), folder); err != nil {
			return 0, err
		}
	}
	if err := archive.Close(); err != nil {
		return 0, err
	}
	err = packed.Close()
	return int64(size), err
}

// counter is a writer that only counts.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func addTree(ctx context.Context, archive *tar.Writer, dir, as string) error {
	return walk(ctx, dir, func(name string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return nil
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		header.Name = as + "/" + name
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(archive, f)
		return err
	})
}
