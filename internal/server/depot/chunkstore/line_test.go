package chunkstore_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// overLine serves the depot's store with TLS behind an emulated line.
func (d *depot) overLine(t testing.TB, l slowline.Line) (*transfer.HTTP, *slowline.Proxy) {
	t.Helper()
	server := httptest.NewUnstartedServer(d.store.Handler())
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	proxy, err := slowline.Listen(l, "127.0.0.1:0", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &transfer.HTTP{Client: server.Client(), Base: "https://" + proxy.Addr().String(), Product: "editor"}, proxy
}

// BenchmarkColdSync brings the Go toolchain's sources over 20 Mbit/s and 40 ms
// to an empty machine, once everything is compressed and once nothing is. The
// figures to beat: tar | zstd -3 is 28.8 MB, 11.5 s of this line.
func BenchmarkColdSync(b *testing.B) {
	for _, ready := range []bool{false, true} {
		b.Run(fmt.Sprintf("compressed=%v", ready), func(b *testing.B) {
			d := newDepot(b)
			d.dir = filepath.Join(runtime.GOROOT(), "src")
			begun := time.Now()
			x := d.add(b).Index
			b.Logf("indexed in %.2f s: %d files, %d bytes, %d chunks, %d blocks", time.Since(begun).Seconds(),
				x.Tree.Files(), x.Tree.Size(), len(x.Chunks), len(x.Blocks()))
			if ready {
				d.compressAll(b, x)
			}
			for b.Loop() {
				source, proxy := d.overLine(b, slowline.Line{Rate: 2_500_000, RTT: 40 * time.Millisecond})
				stage := filepath.Join(b.TempDir(), "stage")
				begun := time.Now()
				got, err := source.Tree(b.Context(), nil, nil, chunkindex.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				planned := time.Since(begun)
				_, index := proxy.Counts()
				var first time.Duration
				result, err := transfer.Sync(b.Context(), transfer.Job{Stage: stage, Index: got, Sources: []transfer.Source{source},
					Progress: func(transfer.Progress) {
						if first == 0 {
							first = time.Since(begun)
						}
					}})
				if err != nil {
					b.Fatal(err)
				}
				took := time.Since(begun)
				root, err := os.OpenRoot(stage)
				if err != nil {
					b.Fatal(err)
				}
				if bad, err := transfer.Verify(b.Context(), root, x.Tree); err != nil || len(bad) > 0 {
					b.Fatal(bad, err)
				}
				root.Close()
				up, down := proxy.Counts()
				b.Logf("%.2f s (index after %.2f, first chunk after %.2f); %d bytes up, %d down, of that index %d; %d requests",
					took.Seconds(), planned.Seconds(), first.Seconds(), up, down, index, result.Requests)
				b.ReportMetric(took.Seconds(), "s/sync")
				b.ReportMetric(float64(down), "wire-B")
				b.ReportMetric(28_783_299/2.5e6/took.Seconds(), "x-tar-zstd-3")
			}
		})
	}
}

// BenchmarkSmallChange edits twenty files of the Go toolchain's sources and adds
// one, for a machine that has the version before.
func BenchmarkSmallChange(b *testing.B) {
	d := newDepot(b)
	if err := os.CopyFS(d.dir, os.DirFS(filepath.Join(runtime.GOROOT(), "src"))); err != nil {
		b.Fatal(err)
	}
	old := d.add(b).Index
	final := filepath.Join(b.TempDir(), "editor")
	if err := os.CopyFS(final, os.DirFS(d.dir)); err != nil {
		b.Fatal(err)
	}
	edited := 0
	for i := 100; edited < 20; i += 500 {
		e := old.Tree.Entries[i%len(old.Tree.Entries)]
		if !e.Type.Regular() || e.Size == 0 {
			continue
		}
		text, err := os.ReadFile(filepath.Join(d.dir, e.Path))
		if err != nil {
			b.Fatal(err)
		}
		middle := len(text) / 2
		d.write(b, e.Path, slices.Concat(text[:middle], []byte("// edited\n"), text[middle:]))
		edited++
	}
	d.write(b, "new/file.go", []byte("package new\n"))
	d.add(b)
	for b.Loop() {
		source, proxy := d.overLine(b, slowline.Line{Rate: 2_500_000, RTT: 40 * time.Millisecond})
		begun := time.Now()
		x, err := source.Tree(b.Context(), old, nil, chunkindex.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		_, index := proxy.Counts()
		stage := filepath.Join(b.TempDir(), "stage")
		result, err := transfer.Sync(b.Context(), transfer.Job{Stage: stage, Index: x, Sources: []transfer.Source{source},
			Seeds: []transfer.Seed{{Dir: final, Index: old, Disposable: true}}})
		if err != nil {
			b.Fatal(err)
		}
		took := time.Since(begun)
		verify(b, stage, x)
		up, down := proxy.Counts()
		b.Logf("%.2f s; %d bytes up, %d down, of that index and TLS %d; unpacked chunks %d", took.Seconds(), up, down, index, result.Fetched)
		b.ReportMetric(float64(up+down), "wire-B")
	}
}
